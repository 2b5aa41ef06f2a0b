//! A listener that writes everything down, and workloads to stand behind it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::{Limits, WorkloadHttp};
use crate::proxy::l7::{
    Again, ConnectError, Connected, Downstream, Facing, Head, Host, Inside, Link, NotAudited, Pool,
    PoolKey, PoolLimits, Rejection, RequestEnd, Rough, Served, Sought, Spoken, Wanted, serve,
};
use crate::shutdown::Shutdown;

/// Longest that anything may take in these tests.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// What the stage's host was told, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Judged { method: Method, path: String },
    Recorded { link: Option<usize> },
    Rejected(&'static str),
    Abandoned,
    Completed(RequestEnd),
}

/// A listener in miniature.
pub(super) struct Stage {
    target: SocketAddr,
    facing: Facing,
    /// What ALPN would give, whatever is wanted.
    pub(super) spoken: Option<Spoken>,
    pub(super) limits: Limits,
    pub(super) audited: bool,
    /// All requests are SOAP, and say `Find`.
    pub(super) sought: Option<Sought>,
    /// Policy says no to everybody from now on.
    pub(super) withdrawn: Arc<AtomicBool>,
    /// The methods that were to be written down.
    pub(super) methods: Mutex<Vec<String>>,
    pub(super) connects: AtomicUsize,
    /// Whose requests come next.
    pub(super) key: Mutex<(&'static str, u64)>,
    pub(super) shutdown: Shutdown,
    events: Mutex<Vec<Event>>,
    news: watch::Sender<usize>,
    pool: Mutex<Option<Arc<Pool<Self>>>>,
}

/// Counts the connections to the workload from 1.
pub(super) struct Number(usize);

impl Link for Number {
    fn is_good(&self) -> bool {
        true
    }

    fn end(&self) -> Option<&Shutdown> {
        None
    }
}

impl Stage {
    /// An inbound listener before `target`, which speaks `speaks`.
    pub(super) fn inbound(target: SocketAddr, speaks: WorkloadHttp) -> Self {
        Self::facing(
            target,
            Facing::Inbound {
                speaks,
                client_cert: Some(HeaderValue::from_static("By=spiffe://td/ehr;Hash=00")),
                client_ip: Some(HeaderValue::from_static("192.0.2.7")),
                proto: HeaderValue::from_static("https"),
            },
        )
    }

    /// A listener before `target`.
    pub(super) fn facing(target: SocketAddr, facing: Facing) -> Self {
        Self {
            target,
            facing,
            spoken: None,
            limits: Limits::default(),
            audited: true,
            sought: None,
            withdrawn: Arc::default(),
            methods: Mutex::default(),
            connects: AtomicUsize::new(0),
            key: Mutex::new(("lab", 1)),
            shutdown: Shutdown::default(),
            events: Mutex::default(),
            news: watch::Sender::new(0),
            pool: Mutex::default(),
        }
    }

    fn pool(self: &Arc<Self>) -> Arc<Pool<Self>> {
        let mut pool = self.pool.lock().unwrap();
        let start = || Pool::start(PoolLimits::of(&self.limits), &self.limits, &self.shutdown);
        Arc::clone(pool.get_or_insert_with(start))
    }

    /// A downstream connection, and what will have come of it.
    pub(super) fn connect(
        self: &Arc<Self>,
        version: Downstream,
    ) -> (DuplexStream, tokio::sync::oneshot::Receiver<Served>) {
        self.connect_with(version, 64 * 1024)
    }

    /// As [`Stage::connect`], with a pipe that holds `bytes`.
    pub(super) fn connect_with(
        self: &Arc<Self>,
        version: Downstream,
        bytes: usize,
    ) -> (DuplexStream, tokio::sync::oneshot::Receiver<Served>) {
        let (near, far) = duplex(bytes);
        let (tell, served) = tokio::sync::oneshot::channel();
        let (stage, pool) = (Arc::clone(self), self.pool());
        self.shutdown.spawn(async move {
            let host = Arc::clone(&stage);
            let served = serve(far, version, host, pool, &stage.limits, &stage.shutdown).await;
            let _ = tell.send(served);
        });
        (near, served)
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// The ends of exchanges, once there are `count`.
    pub(super) async fn ends(&self, count: usize) -> Vec<RequestEnd> {
        let enough = |_: &usize| self.completed().len() >= count;
        timeout(SOON, self.news.subscribe().wait_for(enough)).await.unwrap().unwrap();
        self.completed()
    }

    /// Why requests were rejected, once there are `count`.
    pub(super) async fn rejections(&self, count: usize) -> Vec<&'static str> {
        let enough = |_: &usize| self.rejected_so_far().len() >= count;
        timeout(SOON, self.news.subscribe().wait_for(enough)).await.unwrap().unwrap();
        self.rejected_so_far()
    }

    /// Why requests were rejected so far.
    pub(super) fn rejected_so_far(&self) -> Vec<&'static str> {
        let why = |event| if let Event::Rejected(why) = event { Some(why) } else { None };
        self.events().into_iter().filter_map(why).collect()
    }

    /// The ends of exchanges so far.
    pub(super) fn completed(&self) -> Vec<RequestEnd> {
        let end = |event| if let Event::Completed(end) = event { Some(end) } else { None };
        self.events().into_iter().filter_map(end).collect()
    }

    /// Waits for something to happen.
    pub(super) async fn until(&self, happened: impl Fn(&[Event]) -> bool) {
        let has = |_: &usize| happened(&self.events());
        timeout(SOON, self.news.subscribe().wait_for(has)).await.unwrap().unwrap();
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.news.send_modify(|count| *count += 1);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.cut();
    }
}

impl Host for Stage {
    type Io = TcpStream;
    type Link = Number;
    type Permit = ();
    type Denial = &'static str;
    type Running = ();
    type Ticket = ();
    type Kept = ();
    type Lasting = ();

    fn facing(&self) -> &Facing {
        &self.facing
    }

    fn pool_key(&self, _permit: &()) -> PoolKey {
        let (name, generation) = *self.key.lock().unwrap();
        PoolKey { name: name.into(), generation }
    }

    fn judge(&self, head: &Head<'_>) -> Result<(), &'static str> {
        self.note(Event::Judged { method: head.method.clone(), path: head.path.to_owned() });
        let is_withdrawn = self.withdrawn.load(Ordering::SeqCst);
        if is_withdrawn || head.path.starts_with("/denied") { Err("denied") } else { Ok(()) }
    }

    fn sought(&self, _permit: &()) -> Option<Sought> {
        self.sought
    }

    fn judge_inside(&self, _head: &Head<'_>, inside: Inside) -> Result<(), &'static str> {
        match &inside {
            Inside::Soap(Ok(found)) if found.body.as_deref() == Some("Find") => Ok(()),
            Inside::Form(Ok(form)) if &**form == "name=Find" => Ok(()),
            Inside::Soap(Ok(_)) | Inside::Form(Ok(_)) => Err("other"),
            Inside::Soap(Err(why)) => Err(why.text()),
            Inside::Form(Err(why)) => Err(why.text()),
        }
    }

    fn stands(&self, _permit: &(), _link: &Number) -> bool {
        true
    }

    fn judge_again(&self, head: &Head<'_>, _before: &()) -> Result<Again<()>, &'static str> {
        self.judge(head).map(Again::AsBefore)
    }

    fn abandoned(&self, _rough: &Rough<'_>, _permit: &()) {
        self.note(Event::Abandoned);
    }

    fn begin(&self, _head: &Head<'_>, (): ()) -> Result<((), ()), &'static str> {
        Ok(((), ()))
    }

    fn retry_after(&self, _denial: &&'static str) -> Option<Duration> {
        None
    }

    fn respond(&self, _permit: &()) -> Option<StatusCode> {
        None
    }

    fn request_id(&self, _number: u64) -> Option<HeaderValue> {
        None
    }

    async fn connect(
        &self,
        _permit: &(),
        wanted: Wanted,
    ) -> Result<Connected<TcpStream, Number>, ConnectError> {
        let number = self.connects.fetch_add(1, Ordering::SeqCst) + 1;
        let io =
            TcpStream::connect(self.target).await.map_err(|_refused| ConnectError::Unreachable)?;
        io.set_nodelay(true).unwrap();
        let wanted = match wanted {
            Wanted::Http1 => Spoken::Http1,
            Wanted::Http2 => Spoken::Http2,
        };
        Ok(Connected { io, spoken: self.spoken.unwrap_or(wanted), link: Arc::new(Number(number)) })
    }

    async fn record(
        &self,
        head: &Head<'_>,
        _permit: &(),
        link: Option<&Number>,
    ) -> Result<(), NotAudited> {
        self.methods.lock().unwrap().push(head.method.to_string());
        self.note(Event::Recorded { link: link.map(|link| link.0) });
        if self.audited { Ok(()) } else { Err(NotAudited) }
    }

    async fn rejected(&self, rough: &Rough<'_>, rejection: &Rejection<&'static str>) {
        self.methods.lock().unwrap().extend(rough.method.map(Method::to_string));
        self.note(Event::Rejected(match rejection {
            Rejection::Malformed(malformed) => malformed.label(),
            Rejection::Denied(why) => why,
            Rejection::NotAudited => "not_audited",
        }));
    }

    fn keep(&self, _head: &Head<'_>, _permit: &()) {}

    async fn tunnelled(&self, _link: &Number, _kept: ()) -> Option<()> {
        Some(())
    }

    fn completed(&self, _ticket: (), end: RequestEnd) {
        self.note(Event::Completed(end));
    }
}

/// A workload on a loopback socket; `serve` has each of its connections, numbered from 1.
pub(super) async fn workload<F>(
    serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Shutdown::default().spawn(async move {
        let tasks = Shutdown::default();
        for number in 1.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            stream.set_nodelay(true).unwrap();
            tasks.spawn(serve(stream, number));
        }
    });
    address
}

/// A workload that answers every request of a connection with 200 and what it saw of the request.
pub(super) async fn mirror() -> SocketAddr {
    workload(|mut stream, _| async move {
        while let Some(head) = read_head(&mut stream).await {
            let body = read_body(&mut stream, &head).await;
            let seen = format!("{head}{body}");
            let length = seen.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{seen}");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// Reads a head, its empty line included; `None` at the end of the stream.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.expect("a head in time").ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Reads the body that `head` announces; of a chunked one, the chunks' framing too.
pub(super) async fn read_body(stream: &mut (impl AsyncRead + Unpin), head: &str) -> String {
    let lower = head.to_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return read_chunks(stream).await;
    }
    let length = lower
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    timeout(SOON, stream.read_exact(&mut body)).await.expect("a body in time").unwrap();
    String::from_utf8_lossy(&body).into_owned()
}

async fn read_chunks(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = String::new();
    let mut is_last = false;
    loop {
        let mut line = String::new();
        while !line.ends_with('\n') {
            line.push(char::from(timeout(SOON, stream.read_u8()).await.unwrap().unwrap()));
        }
        all.push_str(&line);
        if is_last && line == "\r\n" {
            return all;
        }
        let size = usize::from_str_radix(line.trim_end().split(';').next().unwrap(), 16);
        match size {
            Ok(0) => is_last = true,
            Ok(size) if !is_last => {
                let mut chunk = vec![0; size + 2];
                timeout(SOON, stream.read_exact(&mut chunk)).await.unwrap().unwrap();
                all.push_str(&String::from_utf8_lossy(&chunk));
            }
            _ => {}
        }
    }
}

/// Reads one answer, head and body.
pub(super) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let head = read_head(stream).await.expect("an answer");
    let body = read_body(stream, &head).await;
    (head, body)
}

/// Reads until the other side closes.
pub(super) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut all)).await.expect("an end in time");
    String::from_utf8_lossy(&all).into_owned()
}

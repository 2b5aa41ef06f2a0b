//! `myelin ca serve`: the enrolment server.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::{Bad, console};
use crate::ca::{ServeError, Server, Settings};
use crate::identity::DnsName;
use crate::report::Report;
use crate::shutdown::Shutdown;

/// How long requests may take to end once a signal has come.
const DRAIN: Duration = Duration::from_secs(10);
/// Enrolments are few.
const THREADS: usize = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    /// Where EST is served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8444")]
    listen: SocketAddr,
    /// Where revocation lists are served over plain HTTP, too; they are signed
    #[arg(long, value_name = "ADDRESS")]
    crl_listen: Option<SocketAddr>,
    /// A DNS name by which clients know this server, not an IP address; may be given several times
    #[arg(long = "name", value_name = "NAME", required = true, value_parser = server_name)]
    names: Vec<DnsName>,
}

/// No certificate of ours names an IP address.
fn server_name(text: &str) -> Result<DnsName, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(
            "an IP address, and clients look for a DNS name: give the server one, if need be in \
                    their /etc/hosts"
                .to_owned(),
        );
    }
    DnsName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(anyhow::Error::from)?.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<(), Bad> {
    let catch = |kind| signal(kind).map_err(anyhow::Error::from);
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let server = Server::bind(Settings {
        dir: arguments.place.dir.clone(),
        listen: arguments.listen,
        crl_listen: arguments.crl_listen,
        names: arguments.names.clone(),
    });
    let server = server.await.map_err(|error| match error {
        ServeError::Authority(error) => Bad::Authority(error),
        ServeError::Bind { .. } => Bad::Other(error.into()),
        ServeError::Own(_) | ServeError::Name(_) | ServeError::Tls(_) => {
            Bad::Unusable(Report(&error).to_string())
        }
    })?;
    console::print(&greeting(arguments, &server)?);
    let shutdown = Shutdown::default();
    let mut serving = std::pin::pin!(server.run(&shutdown));
    tokio::select! {
        () = &mut serving => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    shutdown.drain();
    serving.await;
    let mut stopping = std::pin::pin!(shutdown.run(DRAIN));
    loop {
        tokio::select! {
            _drained = &mut stopping => return Ok(()),
            _ = terminate.recv() => shutdown.cut(),
            _ = interrupt.recv() => shutdown.cut(),
        }
    }
}

/// What an operator needs next.
fn greeting(arguments: &Arguments, server: &Server) -> anyhow::Result<String> {
    let address = server.address()?;
    let name = arguments.names.first().map_or("localhost", DnsName::as_str);
    let url = format!("https://{name}:{}/.well-known/est", address.port());
    let lists = server.crl_address().map_or_else(
        || format!("https://{name}:{}/crls.pem", address.port()),
        |crl| format!("http://{name}:{}/crls.pem", crl.port()),
    );
    Ok(format!(
        "Serving EST on {address}\n\
         \n\
         On this host, for each service that is to enrol:\n\
         \n  myelin ca token --dir {dir} --service SERVICE\n\
         \n\
         On the service's host, with the token in a file of mode 0600:\n\
         \n  identity:\n    est:\n      url: {url}\n      fingerprint: \"sha256:{fingerprint}\"\n      \
         token_file: /run/secrets/myelin-token\n      crl_urls: [\"{lists}\"]\n",
        dir = arguments.place.dir.display(),
        fingerprint = server.fingerprint(),
    ))
}

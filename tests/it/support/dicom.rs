//! DICOM: dcmtk's programs, and associations by hand, byte by byte.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::PATIENCE;
use super::mesh::Setup;
use super::outside::Outside;
use super::pki::Identity;
use super::process::{Process, Said, free_port, loopback, needs, run, write};

pub(crate) const VERIFICATION: &str = "1.2.840.10008.1.1";
pub(crate) const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(crate) const RELEASE_REQUEST: [u8; 10] = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];
pub(crate) const RELEASE_REPLY: [u8; 10] = [6, 0, 0, 0, 0, 4, 0, 0, 0, 0];

/// Command fields of requests (PS3.7, table E.1-1).
pub(crate) const C_STORE: u16 = 0x0001;
pub(crate) const C_FIND: u16 = 0x0020;
pub(crate) const C_ECHO: u16 = 0x0030;

impl Setup {
    /// Carries DICOM.
    pub(crate) fn dicom(self) -> Self {
        self.with("protocol: dicom")
    }
}

/// What must never be seen outside of an object.
pub(crate) const PATIENT: &str = "ZEBRAFINCH^ANNA";

/// dcmtk's `program`: pynetdicom brings some of the same names.
fn dcmtk(program: &str) -> Command {
    Command::new(needs("dump2dcm", "dcmtk").with_file_name(program))
}

/// dcmtk's `program`, asking whoever is at `port` as CT2.
pub(crate) fn scu(program: &str, port: u16, args: &[&str]) -> Command {
    let mut command = dcmtk(program);
    command.args(["-v", "-aet", "CT2", "-aec", "PACS"]).args(args);
    command.args(["127.0.0.1", &port.to_string()]);
    command
}

/// The same, to its end.
pub(crate) async fn asks(program: &str, to: &Outside, args: &[&str], more: &[&str]) -> Said {
    let mut command = scu(program, to.address().port(), args);
    command.args(more);
    run(&mut command, "").await
}

/// dcmtk's options for TLS as `identity`.
pub(crate) fn tls(identity: &Identity) -> Vec<String> {
    let paths = [identity.key(), identity.cert(), identity.trust_bundle()];
    let [key, cert, ca] = paths.map(|path| path.display().to_string());
    vec!["+tls".to_owned(), key, cert, "+cf".to_owned(), ca]
}

/// `storescp` as PACS, writing what it gets as it comes.
pub(crate) async fn storescp(dir: &Path, args: &[&str]) -> (Process, String) {
    let port = free_port();
    let mut command = dcmtk("storescp");
    command.args(["-v", "-aet", "PACS", "+B", "-od"]).arg(dir).args(args).arg(port.to_string());
    let mut process = Process::start(&mut command);
    process.listens(loopback(port)).await;
    (process, format!("127.0.0.1:{port}"))
}

/// `dcmqrscp` as PACS: what is stored can be asked for, and moved to the AE titles of `hosts`.
pub(crate) async fn dcmqrscp(dir: &Path, hosts: &[(&str, SocketAddr)]) -> (Process, String) {
    let port = free_port();
    let store = dir.join("pacs");
    std::fs::create_dir_all(&store).unwrap();
    let host = |(title, at): &(&str, SocketAddr)| {
        format!("{} = ({title}, {}, {})\n", title.to_lowercase(), at.ip(), at.port())
    };
    let hosts: String = hosts.iter().map(host).collect();
    let config = format!(
        "NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n\
         HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n\
         AETable BEGIN\nPACS {} RW (200, 1024mb) ANY\nAETable END\n",
        store.display()
    );
    let config = write(dir, "dcmqrscp.cfg", &config);
    let mut command = dcmtk("dcmqrscp");
    let mut process = Process::start(command.arg("-c").arg(config));
    process.listens(loopback(port)).await;
    (process, format!("127.0.0.1:{port}"))
}

/// Orthanc as PACS, for whoever asks.
pub(crate) async fn orthanc(dir: &Path) -> (Process, String) {
    let port = free_port();
    let config = format!(
        r#"{{ "DicomPort": {port}, "DicomAet": "PACS", "DicomServerEnabled": true,
             "HttpServerEnabled": false, "StorageDirectory": "{0}", "IndexDirectory": "{0}",
             "DicomAlwaysAllowStore": true, "DicomAlwaysAllowFind": true,
             "DicomAlwaysAllowGet": true, "Plugins": [] }}"#,
        dir.join("orthanc").display()
    );
    let config = write(dir, "orthanc.json", &config);
    let mut process = Process::start(Command::new(needs("Orthanc", "orthanc")).arg(config));
    process.listens(loopback(port)).await;
    (process, format!("127.0.0.1:{port}"))
}

/// A CT image of about `size` bytes, of a patient.
pub(crate) async fn image(dir: &Path, size: usize) -> PathBuf {
    let mut pixels = vec![0; size & !1];
    aws_lc_rs::rand::fill(&mut pixels).unwrap();
    std::fs::write(dir.join("pixels"), pixels).unwrap();
    let text = format!(
        "(0008,0016) UI =CTImageStorage\n(0008,0018) UI [1.2.826.0.1.3680043.8.498.1]\n\
         (0008,0060) CS [CT]\n(0010,0010) PN [{PATIENT}]\n(0010,0020) LO [PQ4711]\n\
         (0020,000d) UI [1.2.826.0.1.3680043.8.498.2]\n\
         (0020,000e) UI [1.2.826.0.1.3680043.8.498.3]\n(7fe0,0010) OW ={}\n",
        dir.join("pixels").display()
    );
    let (dump, object) = (write(dir, "image.dump", &text), dir.join("image.dcm"));
    let mut command = dcmtk("dump2dcm");
    let said = run(command.args([&dump, &object]), "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    object
}

/// The data set of an object: all after the group that tells of the file itself.
pub(crate) fn data_set(object: &Path) -> Vec<u8> {
    let bytes = std::fs::read(object).unwrap();
    let first = b"\x08\x00\x16\x00UI";
    let at = bytes.windows(first.len()).position(|window| window == first).unwrap();
    bytes[at..].to_vec()
}

/// The one object in `dir`.
pub(crate) fn stored(dir: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let object = entries.next().unwrap();
    assert!(entries.next().is_none());
    object
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), value].concat()
}

/// A PDU.
pub(crate) fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), body].concat()
}

/// A message in a PDU of its own: a command that names `class`, and its data set, if there is one.
pub(crate) fn message(context: u8, field: u16, class: &str, data: &[u8]) -> Vec<u8> {
    let element = |number: u16, value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        [&[0, 0], number.to_le_bytes().as_slice(), &length, value].concat()
    };
    let fragment = |control: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 2).unwrap().to_be_bytes();
        [length.as_slice(), &[context, control], body].concat()
    };
    let mut class = class.as_bytes().to_vec();
    class.resize(class.len().next_multiple_of(2), 0);
    let follows: u16 = if data.is_empty() { 0x0101 } else { 0 };
    let elements = [
        element(0x0002, &class),
        element(0x0100, &field.to_le_bytes()),
        element(0x0110, &[1, 0]),
        element(0x0700, &[0, 0]),
        element(0x0800, &follows.to_le_bytes()),
    ];
    let elements = elements.concat();
    let length = u32::try_from(elements.len()).unwrap().to_le_bytes();
    let command = fragment(3, &[element(0, &length), elements].concat());
    let data = if data.is_empty() { Vec::new() } else { fragment(2, data) };
    pdu(4, &[command, data].concat())
}

/// What of A-ASSOCIATE-RQ and -AC is the same, between titles and contexts.
fn associate(kind: u8, calling: &str, called: &str, contexts: &[u8], user: &[u8]) -> Vec<u8> {
    let body = [
        vec![0, 1, 0, 0],
        format!("{called:<16}{calling:<16}").into_bytes(),
        vec![0; 32],
        item(0x10, b"1.2.840.10008.3.1.1.1"),
        contexts.to_vec(),
        item(0x50, &[item(0x51, &[0, 0, 0x40, 0]), user.to_vec()].concat()),
    ];
    pdu(kind, &body.concat())
}

/// An A-ASSOCIATE-RQ of CT2 to PACS.
pub(crate) fn request(sop_classes: &[&str]) -> Vec<u8> {
    let user = item(0x58, b"\x02\x01\x00\x08DR_HOUSE\x00\x06vicodn");
    let contexts = (1_u8..).step_by(2).zip(sop_classes).flat_map(|(id, sop_class)| {
        let syntaxes = [item(0x30, sop_class.as_bytes()), item(0x40, b"1.2.840.10008.1.2")];
        item(0x20, &[&[id, 0, 0, 0], syntaxes.concat().as_slice()].concat())
    });
    associate(1, "CT2", "PACS", &contexts.collect::<Vec<_>>(), &user)
}

/// An A-ASSOCIATE-AC that answers so many contexts in this way.
pub(crate) fn accept(results: &[u8]) -> Vec<u8> {
    let contexts = (1_u8..).step_by(2).zip(results).flat_map(|(id, result)| {
        let syntax = item(0x40, b"1.2.840.10008.1.2");
        item(0x21, &[&[id, 0, *result, 0], syntax.as_slice()].concat())
    });
    associate(2, "CT2", "PACS", &contexts.collect::<Vec<_>>(), &[])
}

/// The calling end of an association over TLS.
pub(crate) type Calling = End<tokio_rustls::client::TlsStream<TcpStream>>;

/// One end of an association, by hand.
pub(crate) struct End<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> End<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next PDU, whole; nothing if the connection has ended before it.
    pub(crate) async fn next(&mut self) -> Vec<u8> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("a PDU, or the end")
    }

    async fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 6];
        if self.stream.read_exact(&mut bytes).await.is_err() {
            return Vec::new();
        }
        let length = u32::from_be_bytes(bytes[2..].try_into().unwrap());
        bytes.resize(6 + length as usize, 0);
        self.stream.read_exact(&mut bytes[6..]).await.unwrap();
        bytes
    }

    /// So many bytes, whatever they are.
    pub(crate) async fn some(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let reading = self.stream.read_exact(&mut bytes);
        tokio::time::timeout(PATIENCE, reading).await.expect("so many bytes").unwrap();
        bytes
    }

    /// All that comes until the connection has ended.
    pub(crate) async fn torn(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let reading = self.stream.read_to_end(&mut bytes);
        let _lost = tokio::time::timeout(PATIENCE, reading).await.expect("the end");
        bytes
    }

    /// Reads until the other side has ended the connection; nothing may come.
    pub(crate) async fn ends(mut self) {
        assert_eq!(self.next().await, b"", "and not the end");
    }

    pub(crate) async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

/// A called side by hand.
pub(crate) struct Called {
    socket: TcpListener,
}

impl Called {
    pub(crate) async fn new() -> Self {
        Self { socket: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn target(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    pub(crate) async fn next(&self) -> End<TcpStream> {
        End::new(self.socket.accept().await.unwrap().0)
    }

    /// Nobody has come.
    pub(crate) async fn is_alone(&self) {
        let coming = tokio::time::timeout(std::time::Duration::ZERO, self.socket.accept());
        assert!(coming.await.is_err(), "somebody has come");
    }
}

//! What looking at the headers and commands of DICOM costs: the same stream of P-DATA-TF through an association,
//! and through a relay that looks at nothing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

mod common;

use std::time::Duration;

use divan::{Bencher, counter::BytesCount};
use myelin::authz::Permit;
use myelin::identity::ListenerName;
use myelin::outcome::Direction;
use myelin::protocol::dicom::{Answer, Contexts, Request, Transfer, request};
use myelin::proxy::dicom::{self, Carried, Stay};
use myelin::proxy::l4;
use myelin::shutdown::Shutdown;
use myelin::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

const TOTAL: usize = 64 << 20;
const IDLE: Duration = Duration::from_secs(60);
const PIPE: usize = 256 * 1024;
const RELEASE_REQUEST: [u8; 10] = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];
const RELEASE_REPLY: [u8; 10] = [6, 0, 0, 0, 0, 4, 0, 0, 0, 0];

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), value].concat()
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), body].concat()
}

/// The body of an A-ASSOCIATE-RQ or -AC with so many contexts.
fn associate(kind: u8, contexts: u8) -> Vec<u8> {
    let of = |number: u8| {
        let syntaxes = [item(0x30, b"1.2.840.10008.5.1.4.1.1.2"), item(0x40, b"1.2.840.10008.1.2")];
        let inside = if kind == 1 { syntaxes.concat() } else { syntaxes[1].clone() };
        let head = [2 * number + 1, 0, 0, 0];
        item(if kind == 1 { 0x20 } else { 0x21 }, &[&head, inside.as_slice()].concat())
    };
    [
        vec![0, 1, 0, 0],
        b"PACS            CT2             ".to_vec(),
        vec![0; 32],
        item(0x10, b"1.2.840.10008.3.1.1.1"),
        (0..contexts).flat_map(of).collect(),
        item(0x50, &item(0x51, &[0, 0, 0x40, 0])),
    ]
    .concat()
}

/// A P-DATA-TF of `size` bytes in all, with one fragment: a command, or a piece of a data set.
fn fragment(control: u8, size: usize, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(size - 10).unwrap().to_be_bytes();
    let body = body.iter().copied().chain(std::iter::repeat(7)).take(size - 12);
    pdu(4, &[length.as_slice(), &[1, control], &body.collect::<Vec<_>>()].concat())
}

/// C-STORE-RQ of a CT image.
fn store() -> Vec<u8> {
    let element = |number: u16, value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        [&[0, 0], number.to_le_bytes().as_slice(), &length, value].concat()
    };
    let command = [
        element(0x0002, b"1.2.840.10008.5.1.4.1.1.2\0"),
        element(0x0100, &[1, 0]),
        element(0x0110, &[1, 0]),
        element(0x0800, &[0, 0]),
        element(0x1000, b"1.2.826.0.1.3680043.8.498.1\0"),
    ];
    let command = command.concat();
    fragment(3, command.len() + 12, &command)
}

fn contexts() -> Contexts {
    let request = request(&associate(1, 1)).unwrap();
    Contexts::accepted(request, &[Answer { id: 1, accepted: true }])
}

/// One side asks and sends, the other accepts and takes in.
async fn ends(mut calling: DuplexStream, mut called: DuplexStream, data: &[u8], pieces: usize) {
    let sending = async {
        calling.write_all(&pdu(1, &associate(1, 1))).await.unwrap();
        let mut answer = vec![0; pdu(2, &associate(2, 1)).len()];
        calling.read_exact(&mut answer).await.unwrap();
        calling.write_all(&store()).await.unwrap();
        for _ in 0..pieces {
            calling.write_all(data).await.unwrap();
        }
        calling.write_all(&RELEASE_REQUEST).await.unwrap();
        calling.read_exact(&mut [0; 10]).await.unwrap();
        calling.shutdown().await.unwrap();
        calling.read_to_end(&mut Vec::new()).await.unwrap();
    };
    let receiving = async {
        called.read_exact(&mut vec![0; pdu(1, &associate(1, 1)).len()]).await.unwrap();
        called.write_all(&pdu(2, &associate(2, 1))).await.unwrap();
        let (mut left, mut buffer) = (store().len() + data.len() * pieces + 10, vec![0; PIPE]);
        while left > 0 {
            left -= called.read(&mut buffer).await.unwrap();
        }
        called.write_all(&RELEASE_REPLY).await.unwrap();
        called.read_to_end(&mut Vec::new()).await.unwrap();
        called.shutdown().await.unwrap();
    };
    tokio::join!(sending, receiving);
}

async fn through_an_association(permit: &Permit, metrics: &Metrics, data: &[u8], pieces: usize) {
    let metrics = metrics.listener(&ListenerName::new("bench"), Direction::Inbound);
    let ((calling, mut downstream), (upstream, called)) = (duplex(PIPE), duplex(PIPE));
    let end = Shutdown::default();
    let relaying = async {
        let asked = dicom::ask(&mut downstream, &end).await.unwrap();
        let mut carried = Carried::default();
        let stay = Stay { idle: IDLE, metrics: &metrics, end: &end, is_bound: true };
        let relaying = dicom::relay(permit, asked, downstream, upstream, &stay, &mut carried);
        let (_, parting) = relaying.await;
        parting.done(&end).await;
        assert_eq!(carried.data_units.0, pieces as u64 + 1);
    };
    tokio::join!(relaying, ends(calling, called, data, pieces));
}

async fn through_a_relay(permit: &Permit, metrics: &Metrics, data: &[u8], pieces: usize) {
    let metrics = metrics.listener(&ListenerName::new("bench"), Direction::Inbound);
    let ((calling, downstream), (upstream, called)) = (duplex(PIPE), duplex(PIPE));
    let mut moved = l4::Moved::default();
    let relaying = l4::relay(permit, downstream, upstream, IDLE, &mut moved, &metrics);
    tokio::join!(relaying, ends(calling, called, data, pieces));
}

/// 64 MiB in P-DATA-TF of this size, as `protocol: dicom`.
#[divan::bench(args = [4_096, 16_384, 131_072])]
fn dicom(bencher: Bencher<'_, '_>, size: usize) {
    let (runtime, permit, metrics) = (runtime(), common::permit(), Metrics::new().unwrap());
    let data = fragment(0, size, &[]);
    bencher.counter(BytesCount::new(TOTAL)).bench(|| {
        runtime.block_on(through_an_association(&permit, &metrics, &data, TOTAL / size));
    });
}

/// The same bytes as `protocol: tcp`.
#[divan::bench(args = [4_096, 16_384, 131_072])]
fn tcp(bencher: Bencher<'_, '_>, size: usize) {
    let (runtime, permit, metrics) = (runtime(), common::permit(), Metrics::new().unwrap());
    let data = fragment(0, size, &[]);
    bencher.counter(BytesCount::new(TOTAL)).bench(|| {
        runtime.block_on(through_a_relay(&permit, &metrics, &data, TOTAL / size));
    });
}

/// Headers alone: 64 MiB of P-DATA-TF of 16 KiB, in pieces as they are read.
#[divan::bench]
fn headers(bencher: Bencher<'_, '_>) {
    let data = fragment(0, 16_384, &[]).repeat(8);
    let contexts = contexts();
    bencher.counter(BytesCount::new(TOTAL)).bench(|| {
        let mut transfer = Transfer::new(&contexts, true);
        transfer.pass(&store());
        for _ in 0..TOTAL / data.len() {
            divan::black_box(transfer.pass(&data));
        }
        transfer.units()
    });
}

/// A C-STORE-RQ, read and held against its context.
#[divan::bench]
fn command(bencher: Bencher<'_, '_>) {
    let (contexts, store) = (contexts(), store());
    bencher.bench(|| Transfer::new(&contexts, true).pass(divan::black_box(&store)));
}

/// An A-ASSOCIATE-RQ with so many contexts.
#[divan::bench(args = [1, 128])]
fn asked(bencher: Bencher<'_, '_>, contexts: u8) {
    let body = associate(1, contexts);
    bencher.bench(|| -> Request { request(divan::black_box(&body)).unwrap() });
}

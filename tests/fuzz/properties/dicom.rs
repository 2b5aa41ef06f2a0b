//! The PDUs of an association: what is read of one has bounds, and a stream of them that comes byte by
//! byte stops for the same reason as one that comes at once.

use myelin::protocol::dicom::{LENGTH_OF_HEADER, Stopped, Transfer, accept, reject, request};

pub(super) fn check(bytes: &[u8]) {
    let body = bytes.get(LENGTH_OF_HEADER..).unwrap_or_default();
    if let Ok(request) = request(body) {
        assert!(request.contexts.len() <= 128);
        for title in [&request.calling_ae, &request.called_ae] {
            assert!((1..=16).contains(&title.len()) && !title.contains(char::is_control));
        }
    }
    let _ = (accept(body), reject(body));

    let whole = stopped([bytes].into_iter());
    assert_eq!(whole, stopped(bytes.chunks(1)));
}

fn stopped<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> Option<Stopped> {
    let mut transfer = Transfer::default();
    pieces.find_map(|piece| {
        let (passed, stopped) = transfer.pass(piece);
        assert!(passed <= piece.len() && (stopped.is_some() || passed == piece.len()));
        stopped
    })
}

//! The PDUs of an association: what is read of one has bounds, and a stream of them that comes byte by
//! byte stops for the same reason as one that comes at once.

use myelin::protocol::dicom::{
    Answer, Contexts, LENGTH_OF_HEADER, Request, Stopped, Transfer, accept, reject, request,
};

pub(super) fn check(bytes: &[u8]) {
    let body = bytes.get(LENGTH_OF_HEADER..).unwrap_or_default();
    if let Ok(request) = request(body) {
        assert!(request.contexts.len() <= 128);
        for title in [&request.calling_ae, &request.called_ae] {
            assert!((1..=16).contains(&title.len()) && !title.contains(char::is_control));
        }
    }
    let _ = (accept(body), reject(body));

    let request = Request::proposing("A", "B", &["1.2.840.10008.5.1.4.1.1.2".to_owned()]);
    let contexts = Contexts::accepted(request, &[Answer { id: 1, accepted: true }]);
    for is_bound in [false, true] {
        let whole = stopped(Transfer::new(&contexts, is_bound), [bytes].into_iter());
        assert_eq!(whole, stopped(Transfer::new(&contexts, is_bound), bytes.chunks(1)));
    }
}

fn stopped<'a>(
    mut transfer: Transfer<'_>,
    mut pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<Stopped> {
    pieces.find_map(|piece| {
        let (passed, stopped) = transfer.pass(piece);
        assert!(passed <= piece.len() && (stopped.is_some() || passed == piece.len()));
        stopped
    })
}

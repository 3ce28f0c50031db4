//! The events of one watch, in protobuf where the API server can tell them so, else in JSON.
//!
//! Rule: every event says by its first byte which of both it is, whatever was asked for; half an event is none.

use std::error::Error;
use std::io::{self, ErrorKind};

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};
use futures::{Stream, StreamExt};
use kube::api::{Api, WatchParams};
use kube::core::{Request, Status, WatchEvent};
use tokio_util::bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, FramedRead};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::super::kinds::Kind;
use super::super::wire::protobuf;

/// What is accepted, best first. To write a Pod as JSON takes the API server longer than all else that it does to tell of
/// it, and to read it takes us longer, too.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf, application/json";

/// How deep causes of an error are looked for: they could name each other.
const DEPTH: usize = 16;

/// Begins a watch after that version.
pub(super) async fn events<K: Kind>(
    api: &Api<K::Wire>,
    params: &WatchParams,
    version: &str,
) -> Result<impl Stream<Item = Result<WatchEvent<K::Wire>, kube::Error>> + use<K>, kube::Error> {
    let request = Request::new(api.resource_url()).watch(params, version);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    let headers = request.headers_mut();
    if K::PROTOBUF.is_some() {
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    }
    // Kubernetes would compress each event by itself, which helps nobody here.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let body = api.clone().into_client().request_stream(request).await?;
    let frames = FramedRead::new(body.compat(), Frames::default());
    Ok(frames.filter_map(async |frame| match frame {
        Ok(Frame::Json(text)) if text.trim_ascii().is_empty() => None,
        Ok(Frame::Json(text)) => Some(from_json(&text)),
        Ok(Frame::Protobuf(bytes)) => Some(from_protobuf::<K>(bytes)),
        // The API server, or what lies between, has hung up; the next watch goes on from there.
        Err(error) if is_end(&error) => None,
        Err(error) => Some(Err(kube::Error::ReadEvents(error))),
    }))
}

fn from_json<W: serde::de::DeserializeOwned>(text: &[u8]) -> Result<WatchEvent<W>, kube::Error> {
    serde_json::from_slice(text).map_err(|error| match serde_json::from_slice::<Status>(text) {
        Ok(status) => kube::Error::Api(status.boxed()),
        Err(_) => kube::Error::SerdeError(error),
    })
}

fn from_protobuf<K: Kind>(bytes: Bytes) -> Result<WatchEvent<K::Wire>, kube::Error> {
    let unreadable = |why: Box<dyn Error + Send + Sync>| {
        kube::Error::ReadEvents(io::Error::new(ErrorKind::InvalidData, why))
    };
    match K::PROTOBUF {
        Some(read) => protobuf::event(bytes, read).map_err(|error| unreadable(error.into())),
        None => Err(unreadable("protobuf that nobody asked for".into())),
    }
}

/// Whether a stream has come to its end, however rudely.
fn is_end(error: &io::Error) -> bool {
    fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        (**error).source()
    }
    // What it was made from is no source of an `io::Error`.
    let first = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    let causes = std::iter::successors(Some(first.unwrap_or(error)), cause).take(DEPTH);
    let mut kinds = causes.filter_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    kinds.any(|kind| matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::TimedOut))
        || error.to_string().contains("unexpected EOF during chunk")
}

/// One event, as it came.
#[derive(Debug, PartialEq)]
enum Frame {
    Json(Bytes),
    Protobuf(Bytes),
}

/// Cuts a stream into events: a line of JSON, or four bytes that say how many bytes follow. No event has 16 MiB, so that
/// the first of the four is zero, which no JSON begins with.
#[derive(Debug, Default)]
struct Frames {
    /// So many bytes of the next line are known to have no end of a line.
    looked_at: usize,
}

impl Decoder for Frames {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, io::Error> {
        const LENGTH: usize = 4;
        match buffer.first() {
            None => Ok(None),
            Some(0) => {
                let Some(length) = buffer.first_chunk::<LENGTH>() else {
                    return Ok(None);
                };
                let length = u32::from_be_bytes(*length) as usize;
                if buffer.len() < LENGTH + length {
                    buffer.reserve(LENGTH + length - buffer.len());
                    return Ok(None);
                }
                buffer.advance(LENGTH);
                Ok(Some(Frame::Protobuf(buffer.split_to(length).freeze())))
            }
            Some(_) => {
                let mut new = buffer[self.looked_at..].iter();
                let Some(end) = new.position(|byte| *byte == b'\n') else {
                    self.looked_at = buffer.len();
                    return Ok(None);
                };
                let line = buffer.split_to(std::mem::take(&mut self.looked_at) + end + 1);
                Ok(Some(Frame::Json(line.freeze())))
            }
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, io::Error> {
        let last = self.decode(buffer)?;
        if last.is_none() {
            buffer.clear();
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kinds::{Nodes, Pods};
    use super::*;

    /// What comes of a stream that arrives in pieces of so many bytes.
    fn frames(stream: &[u8], piece: usize) -> Vec<Frame> {
        let (mut codec, mut buffer) = (Frames::default(), BytesMut::new());
        let mut frames = Vec::new();
        for piece in stream.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                frames.push(frame);
            }
        }
        frames.extend(codec.decode_eof(&mut buffer).unwrap());
        assert!(buffer.is_empty(), "{buffer:?}");
        frames
    }

    #[test]
    fn a_stream_is_cut_into_the_same_events_however_it_arrives() {
        let stream = b"\0\0\0\x03a\nb{\"a\": 1}\n\0\0\0\0{}\n{\"half";
        let wanted = [
            Frame::Protobuf(Bytes::from_static(b"a\nb")),
            Frame::Json(Bytes::from_static(b"{\"a\": 1}\n")),
            Frame::Protobuf(Bytes::new()),
            Frame::Json(Bytes::from_static(b"{}\n")),
        ];
        for piece in 1..stream.len() {
            assert_eq!(frames(stream, piece), wanted, "in pieces of {piece} bytes");
        }
    }

    #[test]
    fn a_connection_that_is_cut_is_the_end_and_not_an_error() {
        let cut = io::Error::other(io::Error::from(ErrorKind::UnexpectedEof));
        assert!(is_end(&cut));
        assert!(!is_end(&io::Error::from(ErrorKind::ConnectionReset)));
    }

    fn told<K: Kind>(stream: &'static [u8]) -> Vec<WatchEvent<K::Wire>> {
        let frames = frames(stream, stream.len()).into_iter();
        let events = frames.map(|frame| match frame {
            Frame::Json(text) => from_json(&text),
            Frame::Protobuf(bytes) => from_protobuf::<K>(bytes),
        });
        events.collect::<Result<_, _>>().unwrap()
    }

    /// What is kept of the one object that a stream tells of.
    fn kept<K: Kind>(stream: &'static [u8]) -> K::Item {
        match told::<K>(stream).remove(0) {
            WatchEvent::Added(object) => K::read(object),
            other => panic!("{other:?}"),
        }
    }

    /// Recorded from a real API server: one Pod and one Node, whose every field that is read is set, and then a bookmark.
    #[test]
    fn both_ways_to_tell_of_an_object_say_the_same() {
        let (pod, node) = (
            kept::<Pods>(include_bytes!("recorded/pod.json")),
            kept::<Nodes>(include_bytes!("recorded/node.json")),
        );
        assert!(
            pod.view.is_deleting() && pod.view.containers.len() == 2,
            "{pod:?}"
        );
        assert!(
            node.view.unreachable && node.view.out_of_service,
            "{node:?}"
        );
        assert_eq!(kept::<Pods>(include_bytes!("recorded/pod.protobuf")), pod);
        assert_eq!(
            kept::<Nodes>(include_bytes!("recorded/node.protobuf")),
            node
        );
        for stream in [
            &include_bytes!("recorded/pod.json")[..],
            include_bytes!("recorded/pod.protobuf"),
        ] {
            match &told::<Pods>(stream)[1] {
                WatchEvent::Bookmark(bookmark) => {
                    assert_eq!(
                        bookmark.metadata.resource_version,
                        pod.view.resource_version
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_error_is_told_in_both_ways() {
        let status = include_bytes!("recorded/not-found.protobuf");
        let Ok(WatchEvent::Error(status)) = from_protobuf::<Pods>(protobuf::an_error(status))
        else {
            panic!("not an error");
        };
        assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
        let text = br#"{"type": "ERROR", "object": {"status": "Failure", "code": 410, "reason": "Expired"}}"#;
        let Ok(WatchEvent::Error(status)) = from_json::<()>(text) else {
            panic!("not an error");
        };
        assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for bytes in [&b""[..], b"\x0a\x05ADDED", b"no protobuf"] {
            let told = from_protobuf::<Pods>(Bytes::from_static(bytes));
            assert!(matches!(told, Err(kube::Error::ReadEvents(_))), "{told:?}");
        }
        assert!(matches!(
            from_json::<()>(b"{"),
            Err(kube::Error::SerdeError(_))
        ));
        let refused = br#"{"kind": "Status", "status": "Failure", "code": 410}"#;
        assert!(
            matches!(from_json::<()>(refused), Err(kube::Error::Api(status)) if status.code == 410)
        );
    }
}

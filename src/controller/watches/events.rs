//! The events of one watch, in protobuf where the API server can tell them so, else in JSON.
//!
//! Rule: every event says by its first byte which of both it is, whatever was asked for; half an event is none.

use std::error::Error;
use std::io::{self, ErrorKind};

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};
use futures::future::ready;
use futures::{Stream, StreamExt};
use kube::Resource;
use kube::api::{Api, WatchParams};
use kube::core::{Request, Status, WatchEvent};
use prost::bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, FramedRead};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::super::wire::protobuf::{self, Read};

/// What is accepted, best first. To write a Pod as JSON takes the API server longer than all else that it does to tell of
/// it, and to read it takes us longer, too.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf, application/json";

/// How deep causes of an error are looked for: they could name each other.
const DEPTH: usize = 16;

/// The longest event that is taken: many times what etcd can store.
const LONGEST: usize = 1 << 24;

/// What a watch tells, one after the other.
pub(super) type Told<W> = Result<WatchEvent<W>, kube::Error>;

/// Begins a watch after that version; in protobuf, when its objects can be read from that.
pub(super) async fn events<W: Resource + Clone + DeserializeOwned + 'static>(
    api: &Api<W>,
    params: &WatchParams,
    version: &str,
    protobuf: Option<Read<W>>,
    accepted: Option<[&'static str; 2]>,
) -> Result<impl Stream<Item = Told<W>> + use<W>, kube::Error> {
    let request = Request::new(api.resource_url()).watch(params, version);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    let headers = request.headers_mut();
    let protobuf_accepted = protobuf.map(|_| ACCEPTED);
    if let Some(accepted) = accepted.map(|[_, watched]| watched).or(protobuf_accepted) {
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    }
    // Kubernetes would compress each event by itself, which helps nobody here.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let body = api.clone().into_client().request_stream(request).await?;
    let frames = FramedRead::new(body.compat(), Frames::default());
    Ok(frames.filter_map(move |frame| ready(told(frame, protobuf))))
}

/// What comes of a piece of the stream; `None` when it is nothing.
fn told<W: Resource + DeserializeOwned>(
    frame: io::Result<Frame>,
    protobuf: Option<Read<W>>,
) -> Option<Told<W>> {
    match frame {
        Ok(Frame::Json(text)) => match from_json(&text) {
            // A line that is empty, or the beginning of one that never came.
            Err(kube::Error::SerdeError(error)) if error.is_eof() => None,
            told => Some(told),
        },
        Ok(Frame::Protobuf(bytes)) => Some(from_protobuf(bytes, protobuf)),
        // The API server, or what lies between, has hung up; the next watch goes on from there.
        Err(error) if is_end(&error) => {
            tracing::debug!(%error, "a watch was cut off");
            None
        }
        Err(error) => Some(Err(kube::Error::ReadEvents(error))),
    }
}

fn from_json<W: DeserializeOwned>(text: &[u8]) -> Told<W> {
    serde_json::from_slice(text).map_err(|error| match serde_json::from_slice::<Status>(text) {
        Ok(status) => kube::Error::Api(status.boxed()),
        Err(_) => kube::Error::SerdeError(error),
    })
}

fn from_protobuf<W: Resource>(bytes: Bytes, read: Option<Read<W>>) -> Told<W> {
    let unreadable = |why: Box<dyn Error + Send + Sync>| {
        kube::Error::ReadEvents(io::Error::new(ErrorKind::InvalidData, why))
    };
    match read {
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
    kinds.any(|kind| kind == ErrorKind::UnexpectedEof)
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
                    if buffer.len() > LONGEST {
                        return Err(io::Error::new(
                            ErrorKind::InvalidData,
                            "a line without an end",
                        ));
                    }
                    return Ok(None);
                };
                let line = buffer.split_to(std::mem::take(&mut self.looked_at) + end + 1);
                Ok(Some(Frame::Json(line.freeze())))
            }
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, io::Error> {
        if let Some(frame) = self.decode(buffer)? {
            return Ok(Some(frame));
        }
        let rest = buffer.split().freeze();
        // A line may have an end without saying so; half a message is none.
        let is_line = rest.first().is_some_and(|first| *first != 0);
        Ok(is_line.then_some(Frame::Json(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kinds::{Kind, Nodes, Pods};
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
            Frame::Json(Bytes::from_static(b"{\"half")),
        ];
        for piece in 1..stream.len() {
            assert_eq!(frames(stream, piece), wanted, "in pieces of {piece} bytes");
        }
        assert_eq!(frames(b"\0\0\0\x03ab", 1), [], "half a message");
    }

    #[test]
    fn a_connection_that_is_cut_is_the_end_and_not_an_error() {
        let cut = io::Error::other(io::Error::from(ErrorKind::UnexpectedEof));
        assert!(is_end(&cut));
        assert!(is_end(&io::Error::other(
            "unexpected EOF during chunk size line"
        )));
        for kind in [ErrorKind::ConnectionReset, ErrorKind::TimedOut] {
            assert!(!is_end(&io::Error::from(kind)), "{kind}");
        }
    }

    fn all_told<K: Kind>(stream: &[u8]) -> Vec<Told<K::Wire>> {
        let frames = frames(stream, stream.len()).into_iter();
        frames
            .filter_map(|frame| told(Ok(frame), K::PROTOBUF))
            .collect()
    }

    /// What is kept of the one object that a stream tells of.
    fn kept<K: Kind>(stream: &[u8]) -> K::Item {
        match all_told::<K>(stream).remove(0) {
            Ok(WatchEvent::Added(object)) => K::read(object),
            other => panic!("{other:?}"),
        }
    }

    /// Recorded from Kubernetes 1.37.2 by watches of the same Pod and Node with either word in `Accept`: objects of which
    /// every field that is read was set through the API, the Pod with a finalizer and deleted, and then a bookmark.
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
            match &all_told::<Pods>(stream)[1] {
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    assert_eq!(
                        bookmark.metadata.resource_version,
                        pod.view.resource_version
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// In protobuf nothing is missing, only empty, and a time that is not set is an empty message.
    #[test]
    fn an_object_that_says_hardly_anything_is_the_same_in_both_ways() {
        let json = br#"{"type": "ADDED", "object": {"metadata": {"resourceVersion": "7"}}}"#;
        let written = protobuf::written("ADDED", &protobuf::at_version("7"));
        assert_eq!(kept::<Pods>(&written), kept::<Pods>(json));
        assert_eq!(kept::<Nodes>(&written), kept::<Nodes>(json));
    }

    #[test]
    fn an_error_is_told_in_both_ways() {
        let text =
            br#"{"type": "ERROR", "object": {"status": "Failure", "code": 410, "reason": "Expired",
            "details": {"retryAfterSeconds": 3}}}"#;
        let text = text.map(|byte| if byte == b'\n' { b' ' } else { byte });
        let written = protobuf::written("ERROR", &protobuf::a_refusal(410, "Expired", 3));
        for stream in [&text[..], &written] {
            match all_told::<Pods>(stream).remove(0) {
                Ok(WatchEvent::Error(status)) => {
                    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
                    assert_eq!(status.details.unwrap().retry_after_seconds, 3);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let bare = protobuf::at_version("7");
        for stream in [
            b"\0\0\0\0".to_vec(),
            protobuf::enclosed("ADDED", &bare),
            protobuf::written("INVENTED", &bare),
            protobuf::written("ADDED", &protobuf::at_version("")),
            protobuf::written("BOOKMARK", &protobuf::at_version("")),
            protobuf::written("ADDED", b"\x0a\x03\x0a\x01\xff"),
        ] {
            let told = all_told::<Pods>(&stream);
            let is_unreadable = |error: &io::Error| error.kind() == ErrorKind::InvalidData;
            assert!(
                matches!(&told[..], [Err(kube::Error::ReadEvents(error))] if is_unreadable(error)),
                "{told:?}"
            );
        }
        let told = all_told::<Pods>(b"{]\n");
        assert!(
            matches!(&told[..], [Err(kube::Error::SerdeError(_))]),
            "{told:?}"
        );
        let refused = br#"{"kind": "Status", "status": "Failure", "code": 410}"#;
        let told = all_told::<Pods>(refused);
        assert!(
            matches!(&told[..], [Err(kube::Error::Api(status))] if status.code == 410),
            "{told:?}"
        );
    }

    #[test]
    fn an_event_that_never_ends_is_given_up() {
        let mut buffer = BytesMut::from(&vec![b'x'; LONGEST + 1][..]);
        let error = Frames::default().decode(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}

//! The files of tests/data/stream: the reader says of each what the file beside it says.

use std::path::{Path, PathBuf};

use gstvidtok::format::{Regularizer, TokenFormat};
use gstvidtok::stream::{
    Coder, Event, Hole, Loss, OnLoss, Packet, Reader, StreamError, StreamHeader, Tokens, Totals, Writer,
};
use gstvidtok::timeline::PacketTimes;
use serde_json::{Value, json};

/// A file, and what a reader must say of it.
struct Vector {
    name: String,
    bytes: Vec<u8>,
    expected: Value,
}

impl Vector {
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stream");
        let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        paths.sort();
        assert!(paths.len() > 40, "{} files", paths.len());
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        Self {
            name: path.file_stem().unwrap().to_string_lossy().into(),
            bytes: std::fs::read(path.with_extension("vidtok")).unwrap(),
            expected: serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
        }
    }

    /// The expected events, in the form of [`Said::events`]. `wait`: without the packets that are uncertain.
    fn events(&self, wait: bool) -> Vec<Value> {
        let events = self.expected["events"].as_array().unwrap().iter().cloned();
        let wanted = |event: &Value| !(wait && event["packet"]["uncertain"] == true);
        let events = events.filter(wanted).map(|mut event| {
            for kind in ["header", "packet", "end"] {
                if let Some(fields) = event.get_mut(kind) {
                    // The reader does not say where in the file something is.
                    fields.as_object_mut().unwrap().remove("at").unwrap();
                }
            }
            if let Some(header) = event.get_mut("header") {
                header["format"] = self.expected["formats"][header["format"].as_u64().unwrap() as usize].clone();
            }
            if let Some(packet) = event.get_mut("packet") {
                // Nor which packets are uncertain: it leaves them out, or gives all.
                packet.as_object_mut().unwrap().remove("uncertain").unwrap();
            }
            event
        });
        events.collect()
    }
}

/// What the reader says of a file.
#[derive(Debug)]
struct Said {
    events: Vec<Value>,
    packets: Vec<Packet>,
    headers: Vec<StreamHeader>,
    ended: bool,
}

/// Reads a file that comes in pieces of `piece` bytes.
fn read(bytes: &[u8], on_loss: OnLoss, piece: usize) -> Said {
    let mut reader = Reader::on_loss(on_loss);
    let mut said = Said {
        events: Vec::new(),
        packets: Vec::new(),
        headers: Vec::new(),
        ended: false,
    };
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        if !said.take(&mut reader) {
            return said;
        }
    }
    reader.finish();
    said.take(&mut reader);
    said.ended = reader.has_ended();
    said
}

impl Said {
    /// Takes the events that there are; `false` where the reader cannot continue.
    fn take(&mut self, reader: &mut Reader) -> bool {
        loop {
            let event = match reader.next_event() {
                Ok(None) => return true,
                Ok(Some(event)) => event,
                Err(error) => {
                    self.events.push(json!({"error": error_of(&error)}));
                    return false;
                }
            };
            let event = match event {
                Event::Header(header) => {
                    self.headers.push((*header).clone());
                    json!({"header": {"stream-id": header.stream_id, "format": format_of(&header.format)}})
                }
                Event::Packet(packet) => {
                    let format = &self.headers.last().expect("a header comes before packets").format;
                    let event = packet_of(&packet, format);
                    self.packets.push(packet);
                    json!({"packet": event})
                }
                Event::End(mark) => json!({"end": end_of(&mark)}),
                Event::Hole(hole) => json!({"hole": hole_of(hole)}),
                Event::Skipped { bytes } => json!({"skipped": bytes}),
                Event::CutTail { bytes } => json!({"cut": bytes}),
            };
            self.events.push(event);
        }
    }
}

fn format_of(format: &TokenFormat) -> Value {
    let (regularizer, levels, channels) = match &format.regularizer {
        Regularizer::Fsq { levels } => ("fsq", Some(levels), None),
        Regularizer::Kl { channels } => ("kl", None, Some(channels)),
    };
    json!({
        "model": format.model,
        "tokenizer": format.digest,
        "regularizer": regularizer,
        "levels": levels,
        "codebook-size": format.regularizer.codebook_size(),
        "channels": channels,
        "token-type": format.token_type.as_str(),
        "coding": format.coding.as_str(),
        "grid-width": format.grid_width,
        "grid-height": format.grid_height,
        "time-factor": format.time_factor,
        "space-factor": format.space_factor,
        "causal": format.causal,
        "width": format.width,
        "height": format.height,
        "framerate": format.framerate.to_string(),
        "pixel-aspect-ratio": format.pixel_aspect_ratio.to_string(),
        "colorimetry": format.colorimetry,
    })
}

fn packet_of(packet: &Packet, format: &TokenFormat) -> Value {
    let position = packet
        .position
        .map(|at| json!({"segment": at.segment, "latent-frame": at.latent_frame}));
    json!({
        "segment-start": packet.segment_start,
        "segment-end": packet.segment_end,
        "end-of-stream": packet.end_of_stream,
        "position": position,
        "latent-frames": packet.latent_frames,
        "real-frames": packet.real_frames,
        "pts": packet.pts,
        "duration": packet.duration,
        "offsets": packet.offsets,
        "frames": frames_of(packet, format),
        "tokens": tokens_of(packet, format),
    })
}

/// PTS and duration of each real frame, `null` where not known.
fn frames_of(packet: &Packet, format: &TokenFormat) -> Vec<[Option<u64>; 2]> {
    let real = packet.real_frames as usize;
    let Some(pts) = packet.pts else {
        return vec![[None; 2]; real];
    };
    let times = PacketTimes {
        pts,
        duration: packet.duration,
        offsets: packet.offsets.clone(),
    };
    match times.frames(real, format.framerate) {
        Some(frames) => frames.iter().map(|frame| [Some(frame.pts), frame.duration]).collect(),
        None => (0..real).map(|i| [(i == 0).then_some(pts), None]).collect(),
    }
}

/// Lists `[n][grid-height][grid-width]`, for KL with the channels; `null` where the payload holds no tokens of the
/// format.
fn tokens_of(packet: &Packet, format: &TokenFormat) -> Value {
    let values: Vec<Value> = match Tokens::from_payload(&packet.payload, format, packet.latent_frames) {
        Ok(Tokens::Indices(indices)) => indices.into_iter().map(Value::from).collect(),
        Ok(Tokens::Floats(floats)) => floats.into_iter().map(Value::from).collect(),
        Err(StreamError::Tokens(_)) => return Value::Null,
        Err(other) => panic!("{other}"),
    };
    let mut sizes = vec![format.grid_width, format.grid_height];
    if let Regularizer::Kl { channels } = format.regularizer {
        sizes.insert(0, channels);
    }
    let shaped = sizes.into_iter().fold(values, |values, size| {
        values.chunks(size as usize).map(|row| row.to_vec().into()).collect()
    });
    shaped.into()
}

fn end_of(mark: &StreamHeader) -> Value {
    let totals = |totals: Totals| json!({"latent-frames": totals.latent_frames, "frames": totals.frames});
    let end = mark.end.unwrap();
    json!({
        "stream-id": mark.stream_id,
        "segment-number": end.segment_number,
        "segment": totals(end.segment),
        "stream": end.stream.map(totals),
    })
}

fn hole_of(hole: Hole) -> Value {
    let loss = match hole.loss {
        Loss::Missing => "missing",
        Loss::Repeated => "repeated",
        Loss::OtherStream => "other-stream",
        Loss::NoEnd => "no-end",
        Loss::Damage => "damage",
        Loss::Totals => "totals",
    };
    json!({"loss": loss, "latent-frames": hole.latent_frames})
}

fn error_of(error: &StreamError) -> Value {
    let kind = match error {
        StreamError::NewerVersion(_) => "newer-version",
        StreamError::Header(_) => "header",
        StreamError::UnknownFlags(_) => "flags",
        StreamError::Packet(_) => "packet",
        StreamError::Tokens(_) => "tokens",
    };
    json!({"kind": kind, "says": error.to_string()})
}

/// Compares events; of an error, what its message has to name.
fn check(said: &[Value], expected: &[Value], what: &str) {
    assert_eq!(said.len(), expected.len(), "{what}: {said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        let Some(error) = expected.get("error") else {
            assert_eq!(said, expected, "{what}");
            continue;
        };
        assert_eq!(said["error"]["kind"], error["kind"], "{what}");
        let text = said["error"]["says"].as_str().unwrap();
        assert!(text.contains(error["says"].as_str().unwrap()), "{what}: {text}");
    }
}

#[test]
fn the_reader_says_of_every_file_what_it_must() {
    for vector in Vector::all() {
        assert_eq!(vector.expected["bytes"], vector.bytes.len(), "{}", vector.name);
        for on_loss in [OnLoss::Continue, OnLoss::Wait] {
            for piece in [1, 7, 1000, usize::MAX] {
                let what = format!("{}, {on_loss:?}, pieces of {piece}", vector.name);
                let said = read(&vector.bytes, on_loss, piece);
                check(&said.events, &vector.events(on_loss == OnLoss::Wait), &what);
                if let Some(ended) = vector.expected["ended"].as_bool() {
                    assert_eq!(said.ended, ended, "{what}");
                }
            }
        }
    }
}

#[test]
fn headers_and_packets_are_where_the_files_have_them() {
    for vector in Vector::all() {
        let said = read(&vector.bytes, OnLoss::Continue, usize::MAX);
        let (mut headers, mut packets) = (said.headers.iter(), said.packets.iter());
        let mut format = None;
        for event in vector.expected["events"].as_array().unwrap() {
            let data = |event: &Value| &vector.bytes[event["at"].as_u64().unwrap() as usize..];
            if let Some(header) = event.get("header") {
                let read = StreamHeader::decode(data(header)).unwrap().0;
                assert_eq!(Some(&read), headers.next(), "{}", vector.name);
                format = Some(read.format);
            } else if let Some(packet) = event.get("packet") {
                let read = Packet::decode(data(packet), format.as_ref().unwrap()).unwrap().0;
                assert_eq!(Some(&read), packets.next(), "{}", vector.name);
            } else if let Some(end) = event.get("end") {
                assert!(
                    StreamHeader::decode(data(end)).unwrap().0.end.is_some(),
                    "{}",
                    vector.name
                );
            }
        }
    }
}

#[test]
fn the_writer_makes_the_files_of_a_good_writer() {
    let mut count = 0;
    for vector in Vector::all() {
        if vector.expected["written"] != true {
            continue;
        }
        let said = read(&vector.bytes, OnLoss::Wait, usize::MAX);
        let StreamHeader { format, stream_id, .. } = said.headers[0].clone();
        let mut writer = Writer::new(format.clone(), stream_id.unwrap()).unwrap();
        let (mut decoder, mut encoder) = (Coder::new(format.clone()), Coder::new(format));
        let mut bytes = Vec::new();
        for packet in &said.packets {
            if packet.segment_start {
                decoder.start_segment();
                encoder.start_segment();
            }
            let tokens = decoder.decode(&packet.payload, packet.latent_frames).unwrap();
            let payload = encoder.encode(&tokens).unwrap();
            let packet = Packet {
                payload,
                ..packet.clone()
            };
            bytes.extend(writer.write(&packet).unwrap());
        }
        bytes.extend(writer.end().unwrap());
        assert!(bytes == vector.bytes, "{}", vector.name);
        count += 1;
    }
    assert!(count >= 6, "{count} files");
}

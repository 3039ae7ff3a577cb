//! Duration and seeks in pushed bytes: behind a queue, and from a server.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::times::late;
use super::*;

/// An HTTP server of one file, which counts requests and lives as long as the test's process.
struct Server {
    address: std::net::SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// Without `ranges`, it always sends the whole file.
    fn new(bytes: Vec<u8>, ranges: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let (bytes, counted) = (Arc::new(bytes), requests.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (bytes, counted) = (bytes.clone(), counted.clone());
                std::thread::spawn(move || serve(client, &bytes, ranges, &counted));
            }
        });
        Self { address, requests }
    }
}

/// A player of the file on `server`.
fn over_http(server: &Server) -> Player {
    let found = gst::ElementFactory::find("souphttpsrc");
    assert!(
        found.is_some(),
        "there is no souphttpsrc: it is one of GStreamer's good plugins, and needs libsoup"
    );
    let source = format!("souphttpsrc location=http://{}/a.vidtok ! vidtokparse", server.address);
    Player::with_source(&source, None)
}

/// Answers the requests of one connection until the client closes it.
fn serve(client: TcpStream, bytes: &[u8], ranges: bool, requests: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines();
    let mut client = client;
    loop {
        let request = lines.next()?.ok()?;
        let mut from = None;
        loop {
            let line = lines.next()?.ok()?.to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.strip_prefix("range: bytes=").filter(|_| ranges) {
                from = range.split('-').next()?.parse::<usize>().ok();
            }
        }
        requests.fetch_add(1, Ordering::Relaxed);
        let (size, start) = (bytes.len(), from.unwrap_or(0).min(bytes.len()));
        let status = match from {
            Some(_) => format!(
                "206 Partial Content\r\nContent-Range: bytes {start}-{}/{size}",
                size - 1
            ),
            None => "200 OK".into(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\n{}Content-Type: video/x-vidtok\r\nContent-Length: {}\r\n\r\n",
            if ranges { "Accept-Ranges: bytes\r\n" } else { "" },
            size - start
        );
        client.write_all(head.as_bytes()).ok()?;
        if !request.starts_with("HEAD") {
            client.write_all(&bytes[start..]).ok()?;
        }
    }
}

/// A format of large pictures, so that 60 segments have about 1 MB.
fn large_format() -> TokenFormat {
    TokenFormat {
        grid_height: 40,
        height: 320,
        ..format(320)
    }
}

/// Packets and pieces of a stream in that format which starts at PTS `later`, in nanoseconds.
fn stream(segments: u64, later: u64) -> (Vec<Packet>, Vec<Vec<u8>>) {
    late(&large_format(), segments, later)
}

/// Checks the duration, seeks of each kind, and playback after the last one.
fn assert_seekable(player: &Player, packets: &[Packet], pieces: &[Vec<u8>], segments: u64, later: u64) {
    let duration = ClockTime::from_nseconds(segments * SEGMENT);
    assert_eq!(player.pipeline.query_duration::<ClockTime>(), Some(duration));
    let mut query = gst::query::Seeking::new(gst::Format::Time);
    assert!(player.pipeline.query(&mut query));
    assert_eq!(query.result(), (true, ClockTime::ZERO.into(), duration.into()));

    let last = segments - 1;
    use gst::SeekFlags as Flags;
    for (flags, to, segment, shown) in [
        (
            Flags::ACCURATE,
            last * SEGMENT + SEGMENT / 2,
            last,
            last * SEGMENT + SEGMENT / 2,
        ),
        (Flags::ACCURATE, 0, 0, 0),
        (Flags::KEY_UNIT, SEGMENT / 2, 0, 0),
        (Flags::KEY_UNIT, 5 * SEGMENT + FRAME, 5, 5 * SEGMENT),
        (Flags::KEY_UNIT | Flags::SNAP_AFTER, 5 * SEGMENT + FRAME, 6, 6 * SEGMENT),
        (
            Flags::KEY_UNIT | Flags::SNAP_NEAREST,
            6 * SEGMENT - FRAME,
            6,
            6 * SEGMENT,
        ),
        (Flags::empty(), 17 * SEGMENT, 17, 17 * SEGMENT),
        (Flags::KEY_UNIT, 1000 * SEGMENT, last, last * SEGMENT),
        (Flags::ACCURATE, 3 * SEGMENT - 1, 2, 3 * SEGMENT - 1),
    ] {
        let (buffer, from) = player.seek(flags, to);
        let start = ClockTime::from_nseconds(later + segment * SEGMENT);
        assert_eq!(buffer.pts(), Some(start), "{flags:?} to {to}");
        assert!(*buffer.map_readable().unwrap() == pieces[(segment * PACKETS_PER_SEGMENT) as usize][..]);
        assert_eq!(from, later + shown, "{flags:?} to {to}");
    }
    player.buffers.lock().unwrap().clear();
    player.pipeline.set_state(gst::State::Playing).unwrap();
    player.assert_plays_from(last - 1, packets, pieces);
    assert_eq!(player.warnings(), Vec::<String>::new());
}

#[test]
fn a_file_behind_a_queue_is_sought_in() {
    for later in [0, 8_000_000_000] {
        let (packets, pieces) = stream(60, later);
        for middle in ["queue ! vidtokparse", "typefind ! queue2 ! vidtokparse"] {
            let player = Player::pause(&pieces.concat(), middle);
            assert_seekable(&player, &packets, &pieces, 60, later);
        }
    }
}

#[test]
fn a_file_is_sought_in_over_http() {
    init();
    let (packets, pieces) = stream(60, 8_000_000_000);
    let server = Server::new(pieces.concat(), true);
    let player = over_http(&server);
    player.pipeline.set_state(gst::State::Paused).unwrap();
    player.wait_for_state();
    // Requests for the start, the end, and the start again.
    assert!(server.requests.load(Ordering::Relaxed) <= 4);
    assert_seekable(&player, &packets, &pieces, 60, 8_000_000_000);
    let requests = server.requests.load(Ordering::Relaxed);
    assert!(requests < 90, "{requests} requests for 10 seeks");
}

#[test]
fn a_file_plays_from_a_server_without_ranges() {
    init();
    let (packets, pieces) = stream(60, 0);
    let server = Server::new(pieces.concat(), false);
    let player = over_http(&server);
    player.pipeline.set_state(gst::State::Playing).unwrap();
    assert_framed(&buffers(&player.samples()), &packets, &pieces);
    let mut query = gst::query::Seeking::new(gst::Format::Time);
    assert!(player.pipeline.query(&mut query));
    assert!(!query.result().0);
}

#[test]
fn a_file_of_one_segment_is_sought_from_its_start_when_it_is_pushed() {
    let (_, pieces) = stream(1, 0);
    let player = Player::pause(&pieces.concat(), "queue ! vidtokparse");
    for flags in [gst::SeekFlags::KEY_UNIT, gst::SeekFlags::ACCURATE] {
        let (buffer, from) = player.seek(flags, SEGMENT / 2);
        assert_eq!((buffer.pts(), from), (Some(ClockTime::ZERO), SEGMENT / 2));
    }
}

#[test]
fn many_seeks_in_what_is_pushed_end_where_they_should() {
    let (packets, pieces) = stream(40, 0);
    let player = Player::play(&pieces.concat(), "queue ! vidtokparse");
    player.sink.set_property("drop", true);
    player.sink.set_property("max-buffers", 1u32);
    player.wait_for_state();
    for i in 0..100 {
        let to = ClockTime::from_nseconds(i * 104_729 % 4000 * SEGMENT / 100);
        player.pipeline.seek_simple(gst::SeekFlags::FLUSH, to).unwrap();
    }
    player.buffers.lock().unwrap().clear();
    player.assert_plays_from(39, &packets, &pieces);
}

#[test]
fn what_is_joined_plays_behind_a_queue_without_seeks() {
    let format = format(64);
    let bytes = [
        late(&format, 2, 0).1.concat(),
        late(&format, 2, 7_000_000_000).1.concat(),
    ]
    .concat();
    let player = Player::play(&bytes, "queue ! vidtokparse");
    let times = packet_times(&player.samples());
    let expected: Vec<u64> = packets(&format, 4).iter().map(|packet| packet.pts.unwrap()).collect();
    assert_eq!(times, expected);
    assert_eq!(player.pipeline.query_duration::<ClockTime>(), None);
}

#[test]
fn times_that_start_over_are_found_by_playing_behind_a_queue() {
    let (packets, pieces) = stream(60, 0);
    // From one writer, which continues to count segments.
    let mut writer = Writer::new(large_format(), "a-stream").unwrap();
    let mut restarted: Vec<Vec<u8>> = packets
        .iter()
        .chain(&packets)
        .map(|packet| {
            writer
                .write(&Packet {
                    end_of_stream: false,
                    ..packet.clone()
                })
                .unwrap()
        })
        .collect();
    restarted.push(writer.end().unwrap());
    for bytes in [pieces.concat().repeat(2), restarted.concat()] {
        let player = Player::pause(&bytes, "queue ! vidtokparse");
        for to in [10, 30, 45, 20] {
            let to = to * SEGMENT + FRAME;
            let (first, from) = player.seek(gst::SeekFlags::ACCURATE, to);
            // The target is shown.
            assert_eq!(from, to);
            assert!(first.pts().unwrap().nseconds() <= to);
        }
        player.seek(gst::SeekFlags::ACCURATE, 0);
        player.pipeline.set_state(gst::State::Playing).unwrap();
        let last = pts(player.samples().last().unwrap());
        assert!((120 * SEGMENT - 4 * FRAME..=120 * SEGMENT).contains(&last), "{last}");
        assert_eq!(player.pipeline.query_duration::<ClockTime>(), None);
        let seek = gst::event::Seek::new(
            1.0,
            gst::SeekFlags::FLUSH,
            gst::SeekType::Set,
            ClockTime::ZERO,
            gst::SeekType::None,
            ClockTime::NONE,
        );
        assert!(!player.parser().send_event(seek));
    }
}

#[test]
fn a_seek_is_not_held_to_the_stop_of_an_earlier_one() {
    let (_, pieces) = stream(60, 0);
    let player = Player::pause(&pieces.concat(), "queue ! vidtokparse");
    let at = |segment: u64| ClockTime::from_nseconds(segment * SEGMENT);
    // Numbers of the segments to start and to stop at.
    for (from, to) in [(40, None), (10, Some(12)), (50, None), (5, None)] {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let stop = to.map(at);
        player
            .pipeline
            .seek(1.0, flags, gst::SeekType::Set, at(from), gst::SeekType::Set, stop)
            .unwrap();
        player.wait_for_state();
        let first = player.sink.try_pull_preroll(TIMEOUT).expect("a picture");
        assert_eq!(first.buffer().unwrap().pts(), Some(at(from)), "from {from} to {to:?}");
    }
}

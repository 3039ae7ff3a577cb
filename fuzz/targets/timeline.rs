//! Frames at any times through the encoder's and the decoder's bookkeeping: each is shown once, at its time.

use std::collections::VecDeque;

use arbitrary::{Result, Unstructured};
use gstvidtok::format::Fraction;
use gstvidtok::stream::MAX_TIME;
use gstvidtok::timeline::{FrameTime, Group, Grouping, Groups, PacketTimes, Presentation};

pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    // Never an error: bytes that run out are zeros.
    let _ = any_times(&mut input).and_then(|()| stream(&mut input));
}

/// Times as a packet may have them.
fn any_times(input: &mut Unstructured) -> Result<()> {
    let times = PacketTimes {
        pts: input.arbitrary()?,
        duration: input.arbitrary()?,
        offsets: if input.arbitrary()? {
            Some(input.arbitrary_iter()?.take(8).collect::<Result<_>>()?)
        } else {
            None
        },
    };
    let real = input.int_in_range(0..=9)?;
    if let Some(frames) = times.frames(real, fraction(input)?) {
        assert_eq!(frames.len(), real);
        assert!(frames.first().is_none_or(|frame| frame.pts == times.pts));
    }
    Ok(())
}

fn fraction(input: &mut Unstructured) -> Result<Fraction> {
    let (num, den): (u32, u32) = (input.arbitrary()?, input.arbitrary()?);
    Ok(*input.choose(&[
        Fraction::new(30, 1),
        Fraction::new(30_000, 1001),
        Fraction::new(0, 1),
        Fraction::new(num >> 1, (den >> 1).max(1)),
    ])?)
}

fn stream(input: &mut Unstructured) -> Result<()> {
    let factor = input.int_in_range(1..=8)?;
    let grouping = if input.arbitrary()? {
        Grouping::Causal { factor }
    } else {
        Grouping::Windows {
            factor,
            window: factor * input.int_in_range(1..=4)?,
        }
    };
    let delay = match grouping {
        Grouping::Causal { factor } => input.int_in_range(0..=factor - 1)?,
        Grouping::Windows { .. } => 0,
    };
    let framerate = fraction(input)?;
    let mut groups = Groups::new(grouping, input.int_in_range(0..=40)?);
    let mut decoder = Decoder {
        grouping,
        delay,
        framerate,
        presentation: None,
        expected: VecDeque::new(),
    };
    let (mut pts, mut pushed) = (0u64, 0);
    // Bytes that run out are zeros.
    while !input.is_empty() {
        let operation: u8 = input.arbitrary()?;
        match operation {
            0..=9 => decoder.take(groups.finish()),
            10..=19 => groups.finish_after_group(),
            20..=24 => groups.set_key_interval(u64::from(operation)),
            _ => {
                let step: u64 = if operation < 30 {
                    input.arbitrary()?
                } else {
                    u64::from(operation) * 1_000_003
                };
                pts = pts.saturating_add(step).min(MAX_TIME);
                let duration = operation.is_multiple_of(2).then_some(step.min(MAX_TIME));
                assert!(groups.filled() < grouping.step_frames());
                decoder.take(groups.push(FrameTime { pts, duration }));
                pushed += 1;
            }
        }
    }
    decoder.take(groups.finish());
    decoder.end_segment();
    assert!(
        decoder.expected.is_empty(),
        "{} of {pushed} frames were not shown",
        decoder.expected.len()
    );
    Ok(())
}

/// Shows the frames of the encoder's groups.
struct Decoder {
    grouping: Grouping,
    delay: usize,
    framerate: Fraction,
    presentation: Option<Presentation>,
    /// Times of the frames that were not shown yet.
    expected: VecDeque<u64>,
}

impl Decoder {
    fn take(&mut self, group: Option<Group>) {
        let Some(Group {
            segment_start, frames, ..
        }) = group
        else {
            return;
        };
        assert!((1..=self.grouping.step_frames()).contains(&frames.len()));
        if segment_start {
            self.end_segment();
            self.presentation = Some(Presentation::new(self.grouping, self.delay));
        }
        let times = PacketTimes::of(&frames, self.framerate);
        let read = times
            .frames(frames.len(), self.framerate)
            .expect("times that were written");
        let pts = |frames: &[FrameTime]| frames.iter().map(|frame| frame.pts).collect::<Vec<_>>();
        assert_eq!(pts(&read), pts(&frames));
        self.expected.extend(pts(&frames));
        let presentation = self.presentation.as_mut().expect("the first group starts a segment");
        let latent_frames = self.grouping.step_latent_frames() as u64;
        assert!(presentation.capacity(latent_frames) >= frames.len() as u64);
        presentation.push(latent_frames, read);
        self.show();
    }

    fn show(&mut self) {
        let Some(presentation) = &mut self.presentation else {
            return;
        };
        for (index, time) in presentation.step().shown {
            assert!(index < self.grouping.step_frames());
            assert_eq!(Some(time.pts), self.expected.pop_front());
        }
    }

    fn end_segment(&mut self) {
        if self.presentation.as_ref().is_some_and(Presentation::needs_flush) {
            self.show();
        }
        self.presentation = None;
    }
}

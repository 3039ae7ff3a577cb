//! The search in pushed bytes: which bytes it takes, and what to do next.

use crate::parse::search::{Ends, EndsSearch, Next, SeekPoint, StartSearch};
use crate::parse::seek::Target;

/// What is known of an upstream that pushes bytes, and the current search there.
#[derive(Debug, Default)]
pub struct Remote {
    /// Set once the stream's ends are known; the stream can be sought in from then on.
    pub ends: Option<Ends>,
    pub job: Option<Job>,
    /// The next bytes are the first of a stream whose ends are unknown.
    pub fresh: bool,
    /// The stream turned out not to be seekable.
    pub is_refused: bool,
    pub awaited: Awaited,
    /// Counts searches. A search whose number is not the current one was replaced, and ends.
    pub generation: u64,
}

/// Which bytes the search takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaited {
    /// The next bytes.
    #[default]
    Following,
    /// Bytes from this offset; others belong to an earlier seek.
    From(u64),
    /// None until the search says where to read.
    Nothing,
}

/// What the current search is doing.
#[derive(Debug)]
pub enum Job {
    /// Searches for the stream's ends. `held` are the buffers from the stream's start, until upstream has done the
    /// first seek.
    FindEnds {
        search: Box<EndsSearch>,
        held: Vec<gst::Buffer>,
    },
    /// Waits for the stream to come again from its start.
    Return,
    /// Searches for the segment start to play the target from.
    FindStart(Box<StartSearch>, Target),
    /// Waits for the seek of the base class.
    Leave,
}

/// What to do with data or an event at the sink pad.
pub enum Reaction {
    Pass,
    Drop,
    /// Seek upstream to that offset, for the stream's ends or its start.
    Read(u64),
    /// Give the base class the held buffers.
    Replay(Vec<gst::Buffer>),
    /// Continue the search of this number from another thread.
    Later(Next<SeekPoint>, u64),
}

impl Remote {
    pub fn ends(&self) -> Option<Ends> {
        self.ends
    }

    /// Makes the stream not seekable, as its times contradict its ends. Returns whether it was seekable.
    pub fn refuse(&mut self) -> bool {
        self.is_refused = true;
        self.ends.take().is_some()
    }

    /// The state for another stream. Searches of this stream that are still at work end.
    pub fn renewed(&self) -> Self {
        Self {
            generation: self.generation + 1,
            ..Self::default()
        }
    }

    /// Takes bytes; an empty slice is the end of the stream.
    pub fn feed(&mut self, bytes: &[u8], buffer: Option<&gst::Buffer>) -> Reaction {
        if self.job.is_none() {
            return Reaction::Pass;
        }
        if self.awaited != Awaited::Following {
            return Reaction::Drop;
        }
        match self.job.take() {
            Some(Job::FindEnds { mut search, mut held }) => {
                // The base class cannot use bytes from elsewhere, and they may be many.
                if search.is_at_start() {
                    held.extend(buffer.cloned());
                }
                let next = search.feed(bytes);
                if let Next::Done(ends) = &next {
                    self.ends = Some(*ends);
                }
                match next {
                    Next::More => self.job = Some(Job::FindEnds { search, held }),
                    Next::Failed if search.is_at_start() => return Reaction::Replay(held),
                    Next::Read(from) => {
                        self.awaited = Awaited::From(from);
                        self.job = Some(Job::FindEnds { search, held });
                        return Reaction::Read(from);
                    }
                    Next::Done(_) | Next::Failed => {
                        self.awaited = Awaited::From(0);
                        self.job = Some(Job::Return);
                        return Reaction::Read(0);
                    }
                }
                Reaction::Drop
            }
            Some(Job::FindStart(mut search, target)) => {
                let next = search.feed(bytes);
                self.job = Some(Job::FindStart(search, target));
                if next == Next::More {
                    return Reaction::Drop;
                }
                self.awaited = Awaited::Nothing;
                Reaction::Later(next, self.generation)
            }
            job => {
                self.job = job;
                Reaction::Drop
            }
        }
    }

    /// Takes a segment event for bytes at `from`. Returns whether it belongs to a search and not to downstream.
    pub fn takes_segment(&mut self, from: Option<u64>) -> bool {
        if self.job.is_none() {
            return false;
        }
        if from.is_some_and(|from| self.awaited == Awaited::From(from)) {
            self.awaited = Awaited::Following;
            if matches!(self.job, Some(Job::Return)) {
                self.job = None;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::stream;

    #[test]
    fn only_the_streams_start_is_held() {
        gst::init().unwrap();
        let bytes = [stream(10, 8, 0), vec![0; 1 << 20]].concat();
        let mut remote = Remote {
            job: Some(Job::FindEnds {
                search: Box::new(EndsSearch::new(bytes.len() as u64)),
                held: Vec::new(),
            }),
            ..Remote::default()
        };
        let (mut at, mut reads) = (0, 0);
        while remote.job.is_some() {
            let end = bytes.len().min(at + 4096);
            let buffer = gst::Buffer::from_slice(bytes[at..end].to_vec());
            at = end;
            if let Reaction::Read(from) = remote.feed(&bytes[at - buffer.size()..end], Some(&buffer)) {
                assert!(remote.takes_segment(Some(from)));
                (at, reads) = (from as usize, reads + 1);
            }
            if let Some(Job::FindEnds { held, .. }) = &remote.job {
                assert!(held.len() <= 1, "{} buffers of the stream's end", held.len());
            }
        }
        assert!(reads > 3, "{reads} windows");
    }
}

use crate::parse::search::{Ends, EndsSearch, Next, SeekPoint, StartSearch};
use crate::parse::seek::Target;

/// What is known of an upstream that pushes, and what is being looked for there.
#[derive(Debug, Default)]
pub struct Remote {
    /// Set once the stream's ends are known: then it can be sought in.
    pub ends: Option<Ends>,
    pub job: Option<Job>,
    /// The next bytes are the stream's first, and its ends are to be looked for.
    pub fresh: bool,
    /// It turned out that the stream cannot be sought in.
    pub is_refused: bool,
    pub awaited: Awaited,
    /// Told apart by this, a search that another has replaced goes no further.
    pub generation: u64,
}

/// Which bytes a search takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaited {
    /// Those that come next.
    #[default]
    Following,
    /// Those that begin there; others are of an earlier seek.
    From(u64),
    /// None, until the search has said where to read.
    Nothing,
}

#[derive(Debug)]
pub enum Job {
    /// Holds what came of the stream's start, until upstream has sought for the first time.
    Open(Box<EndsSearch>, Vec<gst::Buffer>),
    /// The stream is to come once more from its start on.
    Return,
    Locate(Box<StartSearch>, Target),
    /// The base class is about to seek.
    Leave,
}

/// What to do about something that has come.
pub enum Act {
    Pass,
    Drop,
    /// Read elsewhere, in the first search.
    Read(u64),
    /// These were taken for nothing.
    Replay(Vec<gst::Buffer>),
    /// Read elsewhere, or end the search.
    Later(Next<SeekPoint>, u64),
}

impl Remote {
    pub fn ends(&self) -> Option<Ends> {
        self.ends
    }

    /// Says that the stream's times are other than its ends said. Returns whether anything said so.
    pub fn refuse(&mut self) -> bool {
        self.is_refused = true;
        self.ends.take().is_some()
    }

    /// For another stream. What still comes for this one's searches is told apart.
    pub fn renewed(&self) -> Self {
        Self {
            generation: self.generation + 1,
            ..Self::default()
        }
    }

    /// Takes bytes, none where the stream ends.
    pub fn feed(&mut self, bytes: &[u8], buffer: Option<&gst::Buffer>) -> Act {
        if self.job.is_none() {
            return Act::Pass;
        }
        if self.awaited != Awaited::Following {
            return Act::Drop;
        }
        match self.job.take() {
            Some(Job::Open(mut opening, mut held)) => {
                // What comes from elsewhere is of no use to the base class, and may be much.
                if opening.is_at_start() {
                    held.extend(buffer.cloned());
                }
                let next = opening.feed(bytes);
                if let Next::Done(ends) = &next {
                    self.ends = Some(*ends);
                }
                match next {
                    Next::More => self.job = Some(Job::Open(opening, held)),
                    Next::Failed if opening.is_at_start() => return Act::Replay(held),
                    Next::Read(from) => {
                        self.awaited = Awaited::From(from);
                        self.job = Some(Job::Open(opening, held));
                        return Act::Read(from);
                    }
                    Next::Done(_) | Next::Failed => {
                        self.awaited = Awaited::From(0);
                        self.job = Some(Job::Return);
                        return Act::Read(0);
                    }
                }
                Act::Drop
            }
            Some(Job::Locate(mut search, target)) => {
                let next = search.feed(bytes);
                self.job = Some(Job::Locate(search, target));
                if next == Next::More {
                    return Act::Drop;
                }
                self.awaited = Awaited::Nothing;
                Act::Later(next, self.generation)
            }
            job => {
                self.job = job;
                Act::Drop
            }
        }
    }

    /// Whether a segment event is none of downstream's business.
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
            job: Some(Job::Open(Box::new(EndsSearch::new(bytes.len() as u64)), Vec::new())),
            ..Remote::default()
        };
        let (mut at, mut reads) = (0, 0);
        while remote.job.is_some() {
            let end = bytes.len().min(at + 4096);
            let buffer = gst::Buffer::from_slice(bytes[at..end].to_vec());
            at = end;
            if let Act::Read(from) = remote.feed(&bytes[at - buffer.size()..end], Some(&buffer)) {
                assert!(remote.takes_segment(Some(from)));
                (at, reads) = (from as usize, reads + 1);
            }
            if let Some(Job::Open(_, held)) = &remote.job {
                assert!(held.len() <= 1, "{} buffers of the stream's end", held.len());
            }
        }
        assert!(reads > 3, "{reads} windows");
    }
}

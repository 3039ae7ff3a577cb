//! Turns frames of video into the network's pictures, as a [`Plan`] says.

use gst_video::VideoFrameExt;

use super::plan::Plan;
use crate::pixels::{Converter, Planes};
use crate::resize::Resizer;
use crate::tokenizer::FrameStack;

pub struct Intake {
    plan: Plan,
    converter: Converter,
    /// `None`: the picture stays as it is.
    resizer: Option<Resizer>,
    /// The whole picture in RGB, where it is turned.
    picture: Vec<u8>,
    /// A row of it.
    row: Vec<u8>,
}

impl Intake {
    pub fn new(plan: Plan) -> Self {
        let source = plan.source;
        let (width, _) = plan.turn.size((source.width as u32, source.height as u32));
        Self {
            converter: Converter::new(source, plan.method),
            resizer: plan.is_resized.then(|| Resizer::new(plan.resize, plan.interpolation)),
            picture: match plan.turn.is_none() {
                true => Vec::new(),
                false => vec![0; source.width * source.height * 3],
            },
            row: vec![0; width as usize * 3],
            plan,
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Makes `frame` the picture `index` of `stack`.
    ///
    /// # Errors
    /// A text for the user that says why the frame is no picture as its caps say.
    pub fn fill(
        &mut self,
        frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
        stack: &mut FrameStack,
        index: usize,
    ) -> Result<(), String> {
        let Self {
            plan,
            converter,
            resizer,
            picture,
            row: whole,
        } = self;
        let planes = planes(frame)?;
        let planes =
            Planes::check(&plan.source, &planes).map_err(|error| format!("A frame cannot be read: {error}"))?;
        let (source, turn) = (plan.source, plan.turn);
        let sides = (source.width, source.height);
        if !turn.is_none() {
            for (y, row) in picture.chunks_exact_mut(source.width * 3).enumerate() {
                converter.row(&planes, y, row);
            }
        }
        match resizer {
            None if turn.is_none() => stack.set(index, |y, row| converter.row(&planes, y, row)),
            None => stack.set(index, |y, row| turn.row(picture, sides, y, row)),
            Some(resizer) => {
                let columns = resizer.columns();
                let fetch = |y: usize, row: &mut [u8]| match turn.is_none() {
                    true => converter.part(&planes, y, columns.clone(), row),
                    false => {
                        turn.row(picture, sides, y, whole);
                        row.copy_from_slice(&whole[columns.start * 3..columns.end * 3]);
                    }
                };
                stack.set_floats(index, |put| resizer.run(fetch, put));
            }
        }
        Ok(())
    }
}

/// The frame's planes, and how many bytes apart their rows begin.
fn planes<'a>(frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>) -> Result<Vec<(&'a [u8], usize)>, String> {
    let plane = |index: u32| {
        let stride = frame.plane_stride()[index as usize];
        let stride = usize::try_from(stride).map_err(|_| format!("A frame has rows {stride} bytes apart"))?;
        let data = frame
            .plane_data(index)
            .map_err(|_| format!("Plane {index} of a frame cannot be read"))?;
        Ok((data, stride))
    };
    (0..frame.n_planes()).map(plane).collect()
}

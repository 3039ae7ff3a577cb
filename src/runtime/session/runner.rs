//! One call of ONNX Runtime: inputs and outputs by their place in the graph, written to tensors that the caller owns.

use std::ffi::CString;

use ort::AsPointer;
use ort::session::Session;
use ort::value::DynTensor;

use crate::runtime::cancel::Run;

/// ONNX Runtime's session with the names of its inputs and outputs.
pub struct Runner {
    session: Session,
    /// NUL-terminated, for the C API.
    input_names: Vec<CString>,
    output_names: Vec<CString>,
}

impl Runner {
    pub fn new(session: Session) -> ort::Result<Self> {
        let names = |outlets: &[ort::value::Outlet]| {
            let names = outlets.iter().map(|outlet| CString::new(outlet.name()));
            names.collect::<Result<Vec<_>, _>>().map_err(ort::Error::wrap)
        };
        Ok(Self {
            input_names: names(session.inputs())?,
            output_names: names(session.outputs())?,
            session,
        })
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Runs the graph on `feeds`, which are all its inputs, and writes to `fetches`, any of its outputs, by their
    /// places in the graph. `run` may end it: it then fails, and outputs are undefined.
    ///
    /// With any provider but the CPU's, the caller lets one thread in at a time: `ort::Session::run` takes `&mut self`
    /// because GPU providers were seen to fail otherwise.
    pub fn run(
        &self,
        run: Option<&Run>,
        feeds: &[(usize, &DynTensor)],
        fetches: &mut [(usize, &mut DynTensor)],
    ) -> ort::Result<()> {
        let input_names: Vec<_> = feeds.iter().map(|(i, _)| self.input_names[*i].as_ptr()).collect();
        let inputs: Vec<_> = feeds.iter().map(|(_, tensor)| tensor.ptr()).collect();
        let output_names: Vec<_> = fetches.iter().map(|(i, _)| self.output_names[*i].as_ptr()).collect();
        let mut outputs: Vec<_> = fetches.iter_mut().map(|(_, tensor)| tensor.ptr_mut()).collect();
        let options = run.map_or(std::ptr::null(), Run::ptr);
        // SAFETY: options, names and tensors are borrowed for as long as the call lasts, outputs mutably, and ONNX
        // Runtime writes to an output that it is given or fails. That several threads are in `Run` of one session is
        // part of ONNX Runtime's design ("Multiple threads can invoke the Run() method on the same inference session
        // object", docs/InferenceHighLevelDesign.md); ONNX Runtime itself locks a provider that says it cannot do it.
        unsafe {
            let status = (ort::api().Run)(
                self.session.ptr().cast_mut(),
                options,
                input_names.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            );
            ort::Error::result_from_status(status)
        }
    }
}

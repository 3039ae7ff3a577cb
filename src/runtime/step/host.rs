//! A tensor in memory that the CPU reaches.

use ort::value::{DynTensor, TensorElementType};

use crate::runtime::error::RuntimeError;
use crate::runtime::session::Allocators;

/// A tensor whose first axis is the members of a batch, in the CPU's own memory or in pinned memory.
pub struct HostTensor {
    tensor: DynTensor,
    /// Bytes.
    len: usize,
}

impl HostTensor {
    /// A tensor of zeros.
    pub fn new(allocators: &Allocators, element: TensorElementType, shape: &[i64]) -> ort::Result<Self> {
        let mut tensor = allocators.host_tensor(element, shape)?;
        let len = element.byte_size(shape.iter().product::<i64>() as usize).unwrap_or(0);
        if len > 0 {
            // SAFETY: the tensor was just made with that many bytes, where the CPU may write. ort zeroes only tensors
            // that it knows to be the CPU's, and a slice must not show bytes that were never written.
            unsafe { tensor.data_ptr_mut().cast::<u8>().write_bytes(0, len) };
        }
        Ok(Self { tensor, len })
    }

    pub fn tensor(&self) -> &DynTensor {
        &self.tensor
    }

    pub fn tensor_mut(&mut self) -> &mut DynTensor {
        &mut self.tensor
    }

    /// The bytes of the member in `slot` of `slots`.
    pub fn slot(&self, slot: usize, slots: usize) -> &[u8] {
        let size = self.len / slots;
        &self.bytes()[slot * size..][..size]
    }

    /// Writes the bytes of the member in `slot` of `slots`.
    ///
    /// # Errors
    /// [`RuntimeError::Run`]: there are more or fewer bytes than the member has.
    pub fn set(&mut self, slot: usize, slots: usize, bytes: &[u8]) -> Result<(), RuntimeError> {
        let size = self.len / slots;
        if bytes.len() != size {
            let text = format!("a step takes {size} bytes, but was given {}", bytes.len());
            return Err(RuntimeError::Run(text.into()));
        }
        self.bytes_mut()[slot * size..][..size].copy_from_slice(bytes);
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `len` bytes, written when the tensor was made. A run that writes them borrows the tensor mutably.
        unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as in `bytes`, and `&mut self` is the only access to them.
        unsafe { std::slice::from_raw_parts_mut(self.tensor.data_ptr_mut().cast(), self.len) }
    }
}

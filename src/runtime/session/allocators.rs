//! Where the tensors of a session are.

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{DynTensor, TensorElementType};

use crate::runtime::library::CAT;

/// Allocates a session's tensors.
pub struct Allocators {
    /// The device's own memory.
    device: Allocator,
    /// Memory that both the CPU and the device reach.
    host: Allocator,
}

impl Allocators {
    /// Everything in the CPU's memory.
    pub fn cpu() -> Self {
        Self {
            device: Allocator::default(),
            host: Allocator::default(),
        }
    }

    /// Memory of the GPU `device`, and pinned memory of the CPU, from where the GPU copies without the CPU's help.
    pub fn cuda(session: &Session, device: i32) -> Self {
        let allocator = |kind, device, memory_type| {
            let info = MemoryInfo::new(kind, device, AllocatorType::Device, memory_type);
            info.and_then(|info| Allocator::new(session, info))
        };
        let or_cpu = |allocator: ort::Result<Allocator>| {
            allocator.unwrap_or_else(|error| {
                // Slower, but the results are the same: ONNX Runtime copies tensors that are elsewhere.
                gst::warning!(CAT, "Keeping tensors in the CPU's memory: {}", error.message());
                Allocator::default()
            })
        };
        let pinned = |device| allocator(AllocationDevice::CUDA_PINNED, device, MemoryType::CPUOutput);
        Self {
            device: or_cpu(allocator(AllocationDevice::CUDA, device, MemoryType::Default)),
            // ONNX Runtime before 1.23 has one for all devices, with the number 0.
            host: or_cpu(pinned(device).or_else(|_| pinned(0))),
        }
    }

    /// A tensor in the device's memory, where the CPU may not reach it. Its values are undefined.
    pub fn device_tensor(&self, element: TensorElementType, shape: &[i64]) -> ort::Result<DynTensor> {
        DynTensor::new(&self.device, element, shape)
    }

    /// A tensor that the CPU reaches, too. Its values are undefined.
    pub fn host_tensor(&self, element: TensorElementType, shape: &[i64]) -> ort::Result<DynTensor> {
        DynTensor::new(&self.host, element, shape)
    }
}

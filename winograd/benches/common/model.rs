//! An ONNX model, as bytes.

/// Convolutions of `x0`, `x1`, …, which are added; with kernels of `size` × `size`.
pub fn sum_of_convolutions(
    inputs: usize,
    outputs: usize,
    side: usize,
    size: usize,
    kernels: &[&[f32]],
    bias: &[f32],
) -> Vec<u8> {
    let mut graph = Vec::new();
    bytes(2, b"graph", &mut graph);
    tensor("bias", &[outputs], bias, &mut graph);
    for (tap, kernel) in kernels.iter().enumerate() {
        tensor(&format!("w{tap}"), &[outputs, inputs, size, size], kernel, &mut graph);
        value(11, &format!("x{tap}"), &[1, inputs, side, side], &mut graph);
        let mut names = vec![format!("x{tap}"), format!("w{tap}")];
        names.extend((tap == 0).then(|| "bias".into()));
        node("Conv", size as u64 / 2, &names, &format!("y{tap}"), &mut graph);
        if tap > 0 {
            let before = if tap == 1 {
                "y0".into()
            } else {
                format!("sum{}", tap - 1)
            };
            node("Add", 0, &[before, format!("y{tap}")], &format!("sum{tap}"), &mut graph);
        }
    }
    let last = kernels.len() - 1;
    let name = if last == 0 { "y0".into() } else { format!("sum{last}") };
    value(12, &name, &[1, outputs, side, side], &mut graph);
    let (mut opset, mut model) = (Vec::new(), Vec::new());
    integer(2, 18, &mut opset);
    integer(1, 8, &mut model);
    bytes(7, &graph, &mut model);
    bytes(8, &opset, &mut model);
    model
}

fn node(kind: &str, padding: u64, inputs: &[String], output: &str, graph: &mut Vec<u8>) {
    let mut node = Vec::new();
    for input in inputs {
        bytes(1, input.as_bytes(), &mut node);
    }
    bytes(2, output.as_bytes(), &mut node);
    bytes(4, kind.as_bytes(), &mut node);
    if kind == "Conv" {
        let mut pads = Vec::new();
        bytes(1, b"pads", &mut pads);
        (0..4).for_each(|_| integer(8, padding, &mut pads));
        integer(20, 7, &mut pads);
        bytes(5, &pads, &mut node);
    }
    bytes(1, &node, graph);
}

fn tensor(name: &str, sizes: &[usize], values: &[f32], graph: &mut Vec<u8>) {
    let mut tensor = Vec::new();
    sizes.iter().for_each(|size| integer(1, *size as u64, &mut tensor));
    integer(2, 1, &mut tensor);
    bytes(8, name.as_bytes(), &mut tensor);
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    bytes(9, &raw, &mut tensor);
    bytes(5, &tensor, graph);
}

fn value(number: u64, name: &str, sizes: &[usize], graph: &mut Vec<u8>) {
    let mut shape = Vec::new();
    for size in sizes {
        let mut dimension = Vec::new();
        integer(1, *size as u64, &mut dimension);
        bytes(1, &dimension, &mut shape);
    }
    let (mut tensor, mut kind, mut value) = (Vec::new(), Vec::new(), Vec::new());
    integer(1, 1, &mut tensor);
    bytes(2, &shape, &mut tensor);
    bytes(1, &tensor, &mut kind);
    bytes(1, name.as_bytes(), &mut value);
    bytes(2, &kind, &mut value);
    bytes(number, &value, graph);
}

fn bytes(number: u64, value: &[u8], to: &mut Vec<u8>) {
    varint(number << 3 | 2, to);
    varint(value.len() as u64, to);
    to.extend_from_slice(value);
}

fn integer(number: u64, value: u64, to: &mut Vec<u8>) {
    varint(number << 3, to);
    varint(value, to);
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

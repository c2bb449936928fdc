//! Writes the files that fuzzing starts from: one small good file for each target, in `corpus/<target>/`.

use std::error::Error;
use std::fs;
use std::path::Path;

use dyadic_formats::GgufType;
use dyadic_model::dtype::Dtype;
use dyadic_model::gguf::GgufWriter;
use dyadic_model::npy::to_npy;
use dyadic_model::safetensors::SafetensorsWriter;

fn gguf() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut writer = GgufWriter::with_alignment(32);
    writer
        .metadata("general.architecture", "llama")
        .metadata("llama.block_count", 2_u32)
        .metadata("epsilon", 1e-5_f32)
        .metadata("flag", true)
        .metadata("tokens", ["a", "bc", ""])
        .metadata("scores", [0.5_f64])
        .metadata("nested", [[1_i16], [2]]);
    for (name, block_type) in [("a", GgufType::F32), ("b", GgufType::Q4_1), ("c", GgufType::Q1_0)] {
        let data = vec![1; 2 * block_type.block_bytes()];
        writer.tensor(name, &[block_type.block_len(), 2], block_type, data)?;
    }
    Ok(writer.to_bytes())
}

fn safetensors() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut writer = SafetensorsWriter::new();
    writer.metadata("format", "pt");
    for (name, dtype) in [("a", Dtype::F32), ("b", Dtype::F4), ("c", Dtype::F8E4M3)] {
        writer.tensor(name, &[2, 4], dtype, vec![1; dtype.bits()])?;
    }
    Ok(writer.to_bytes())
}

fn npy() -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(to_npy(Dtype::F16, &[2, 3], &[0; 12])?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seed) in [("gguf", gguf()?), ("npy", npy()?), ("safetensors", safetensors()?)] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("seed"), seed)?;
    }
    Ok(())
}

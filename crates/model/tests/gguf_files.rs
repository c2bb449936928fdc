//! GGUF files on the disk: split models, wrong paths, the memory that a mapped file takes, the real model.

use std::path::{Path, PathBuf};

use dyadic_formats::GgufType;
use dyadic_model::ModelError;
use dyadic_model::gguf::{GgufFile, GgufWriter};
use serde_json::json;
use tempfile::TempDir;

/// Writes a model of `count` parts with two tensors each, and returns their paths.
fn write_split(folder: &Path, count: u16, tensors: i32) -> Vec<PathBuf> {
    (0..count)
        .map(|number| {
            let mut writer = GgufWriter::new();
            if number == 0 {
                writer.metadata("general.architecture", "llama");
            }
            writer
                .metadata("split.no", number)
                .metadata("split.count", count)
                .metadata("split.tensors.count", tensors);
            for tensor in 0..2 {
                let value = f32::from(number * 2 + tensor);
                let name = format!("blk.{}.weight", number * 2 + tensor);
                let data = [value; 8].map(f32::to_le_bytes).concat();
                writer.tensor(&name, &[8], GgufType::F32, data).unwrap();
            }
            let path = folder.join(format!("model-{:05}-of-{count:05}.gguf", number + 1));
            writer.write_file(&path).unwrap();
            path
        })
        .collect()
}

#[track_caller]
fn assert_error(result: Result<GgufFile, ModelError>, code: &str, parts: &[&str]) {
    let error = result.expect_err("the file is wrong");
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn any_part_opens_the_whole_model() {
    let folder = TempDir::new().unwrap();
    for path in write_split(folder.path(), 3, 6) {
        let file = GgufFile::open(&path).unwrap();
        assert_eq!(file.metadata().get::<&str>("general.architecture").unwrap(), "llama");
        assert_eq!(file.tensors().len(), 6);
        for (index, tensor) in (0_u8..).zip(file.tensors()) {
            assert_eq!(tensor.name(), format!("blk.{index}.weight"));
            assert_eq!(tensor.part(), usize::from(index / 2));
            let expected = [f32::from(index); 8].map(f32::to_le_bytes).concat();
            assert_eq!(file.data(tensor).unwrap(), expected);
            file.release(tensor);
        }
        let inspected = file.inspect();
        assert_eq!(inspected["parts"].as_array().unwrap().len(), 3);
        assert_eq!(inspected["tensors"][5]["part"], 2);
        assert!(file.path().ends_with("model-00001-of-00003.gguf"));
    }
}

#[test]
fn a_missing_part_is_named() {
    let folder = TempDir::new().unwrap();
    let paths = write_split(folder.path(), 3, 6);
    std::fs::remove_file(&paths[1]).unwrap();
    let parts = ["model-00002-of-00003.gguf: part 2 of 3 is missing"];
    assert_error(GgufFile::open(&paths[0]), "ERR_GGUF_SPLIT", &parts);
    assert_error(GgufFile::open(&paths[2]), "ERR_GGUF_SPLIT", &parts);
    assert_error(GgufFile::open(&paths[1]), "ERR_FILE_NOT_FOUND", &["no such file"]);
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let folder = TempDir::new().unwrap();
    let paths = write_split(folder.path(), 3, 7);
    let parts = ["\"split.tensors.count\" is 7, but the 3 parts list 6"];
    assert_error(GgufFile::open(&paths[0]), "ERR_GGUF_SPLIT", &parts);

    let paths = write_split(folder.path(), 3, 6);
    std::fs::copy(&paths[0], &paths[1]).unwrap();
    let parts = ["00002-of-00003.gguf", "\"split.no\" is 0, expected 1"];
    assert_error(GgufFile::open(&paths[0]), "ERR_GGUF_SPLIT", &parts);

    let paths = write_split(folder.path(), 3, 6);
    let renamed = folder.path().join("renamed.gguf");
    std::fs::copy(&paths[0], &renamed).unwrap();
    let parts = ["renamed.gguf", "one of 3 parts", "-00001-of-00003.gguf"];
    assert_error(GgufFile::open(&renamed), "ERR_GGUF_SPLIT", &parts);
    let bytes = std::fs::read(&paths[0]).unwrap();
    assert_error(GgufFile::from_bytes("part", bytes), "ERR_GGUF_SPLIT", &["by its path"]);

    let other = folder.path().join("model-00001-of-00004.gguf");
    std::fs::copy(&paths[0], &other).unwrap();
    assert_error(GgufFile::open(&other), "ERR_GGUF_SPLIT", &["one of 3 parts"]);

    std::fs::write(&paths[1], b"\x89PNG\r\n\x1a\n").unwrap();
    let parts = ["00002-of-00003.gguf", "a PNG image"];
    assert_error(GgufFile::open(&paths[0]), "ERR_GGUF_MAGIC", &parts);
}

#[test]
fn a_tensor_in_two_parts_is_refused() {
    let folder = TempDir::new().unwrap();
    let paths = write_split(folder.path(), 2, 4);
    let mut writer = GgufWriter::new();
    writer.metadata("split.no", 1_u16).metadata("split.count", 2_u16);
    for name in ["blk.0.weight", "blk.9.weight"] {
        writer.tensor(name, &[1], GgufType::F32, vec![0; 4]).unwrap();
    }
    writer.write_file(&paths[1]).unwrap();
    let parts = ["00002-of-00002.gguf", "\"blk.0.weight\" occurs twice"];
    assert_error(GgufFile::open(&paths[0]), "ERR_GGUF_DUPLICATE", &parts);
}

#[test]
fn a_whole_file_may_have_the_name_of_a_part() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("whole-00002-of-00003.gguf");
    let mut writer = GgufWriter::new();
    writer.tensor("w", &[1], GgufType::F32, vec![0; 4]).unwrap();
    writer.write_file(&path).unwrap();
    assert_eq!(GgufFile::open(&path).unwrap().tensors().len(), 1);
}

#[test]
fn wrong_paths_are_coded() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing.gguf");
    assert_error(GgufFile::open(&missing), "ERR_FILE_NOT_FOUND", &["missing.gguf"]);
    assert_error(GgufFile::open(folder.path()), "ERR_FILE_ACCESS", &["it is a directory"]);
    let under_a_file = folder.path().join("file");
    std::fs::write(&under_a_file, "").unwrap();
    assert_error(GgufFile::open(&under_a_file.join("x")), "ERR_FILE_ACCESS", &["cannot open"]);
    assert_error(GgufFile::open(&under_a_file), "ERR_GGUF_MAGIC", &["an empty file"]);
    let error = GgufWriter::new().write_file(&missing.join("x")).unwrap_err();
    assert_eq!(error.code(), "ERR_FILE_NOT_FOUND");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting_for_its_writer() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert_error(GgufFile::open(&pipe), "ERR_FILE_ACCESS", &["not a regular file"]);
    assert_error(GgufFile::open(Path::new("/dev/zero")), "ERR_FILE_ACCESS", &["not a regular"]);
}

/// The memory of this process that maps `path`, in KiB.
#[cfg(target_os = "linux")]
fn resident(path: &Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
    let line = lines.find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn released_tensors_leave_the_memory_of_the_process() {
    /// Where the page cache holds 2 MiB in one piece, the first touch of a page maps all of it.
    const HUGE_PAGE: u64 = 2 << 10;
    const ELEMENTS: usize = 16 << 20;
    let folder = TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap().join("large.gguf");
    let mut writer = GgufWriter::new();
    for name in ["a", "b"] {
        writer.tensor(name, &[ELEMENTS], GgufType::Q8_0, vec![3; ELEMENTS / 32 * 34]).unwrap();
    }
    writer.write_file(&path).unwrap();
    let file = GgufFile::open(&path).unwrap();
    let opened = resident(&path);
    assert!(
        opened <= HUGE_PAGE,
        "{opened} KiB resident of a file of which only the lists were read"
    );
    let sum = |name: &str| {
        let bytes = file.data(file.tensor(name).unwrap()).unwrap();
        bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>()
    };
    let expected = 3 * (ELEMENTS / 32 * 34) as u64;
    assert_eq!((sum("a"), sum("b")), (expected, expected));
    let both = resident(&path);
    assert!(both > 32 << 10, "{both} KiB");
    file.release(file.tensor("a").unwrap());
    assert!(resident(&path) < both / 2 + HUGE_PAGE);
    file.release(file.tensor("b").unwrap());
    assert!(resident(&path) <= HUGE_PAGE);
    assert_eq!(sum("a"), expected, "released data is read again");
}

#[test]
fn inspect_abbreviates_and_sums_up() {
    let mut writer = GgufWriter::new();
    writer
        .metadata("general.architecture", "llama")
        .metadata("epsilon", 1e-5_f32)
        .metadata("short", [1_i32, 2, 3])
        .metadata("tokens", (0..1000).map(|i| format!("t{i}")).collect::<Vec<_>>())
        .metadata("text", "é".repeat(1 << 16));
    let data = |len| vec![0; len];
    writer.tensor("a", &[64, 2], GgufType::Q4_0, data(72)).unwrap();
    writer.tensor("b", &[32], GgufType::Q4_0, data(18)).unwrap();
    writer.tensor("c", &[5], GgufType::F32, data(20)).unwrap();
    let bytes = writer.to_bytes();
    let len = bytes.len();
    let inspected = GgufFile::from_bytes("model.gguf", bytes).unwrap().inspect();
    assert_eq!(inspected["format"], "gguf");
    assert_eq!(inspected["parts"], json!([{ "path": "model.gguf", "bytes": len }]));
    assert_eq!(inspected["architecture"], "llama");
    assert_eq!(inspected["name"], json!(null));
    assert_eq!(inspected["parameters"], 165);
    assert_eq!(inspected["tensorBytes"], 110);
    let types = json!({
        "F32": { "tensors": 1, "parameters": 5, "bytes": 20 },
        "Q4_0": { "tensors": 2, "parameters": 160, "bytes": 90 },
    });
    assert_eq!(inspected["types"], types);
    let metadata = &inspected["metadata"];
    assert_eq!(metadata["epsilon"].to_string(), "0.00001");
    assert_eq!(metadata["short"], json!([1, 2, 3]));
    assert_eq!(
        (&metadata["tokens"]["type"], &metadata["tokens"]["length"]),
        (&json!("string"), &json!(1000))
    );
    assert_eq!(metadata["tokens"]["first"].as_array().unwrap().len(), 16);
    assert!(metadata["text"].as_str().unwrap().len() < (64 << 10) + 4);
    let offset = inspected["tensors"][0]["offset"].as_u64().unwrap();
    let first = json!({ "name": "a", "type": "Q4_0", "shape": [64, 2], "bytes": 72, "part": 0, "offset": offset });
    assert_eq!(inspected["tensors"][0], first);
}

//! Reading and writing `.npy` files. Those in `golden/npy` were written by `NumPy` 2.4.6.

use dyadic_model::ModelError;
use dyadic_model::dtype::Dtype;
use dyadic_model::npy::{NpyFile, to_npy, write_npy};
use proptest::prelude::*;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("golden/npy/", $name, ".npy")).as_slice()
    };
}

fn open(bytes: &[u8]) -> Result<NpyFile, ModelError> {
    NpyFile::from_bytes("array.npy", bytes.to_vec())
}

/// A file of version 1 with the given header and `data_len` bytes of data.
fn raw(header: &str, data_len: usize) -> Result<NpyFile, ModelError> {
    let len = u16::try_from(header.len()).unwrap();
    let data = vec![0; data_len];
    open(&[b"\x93NUMPY\x01\0", &len.to_le_bytes()[..], header.as_bytes(), &data].concat())
}

/// Asserts the code and that the message names the file and all of `parts`.
#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: Result<T, ModelError>, code: &str, parts: &[&str]) {
    let error = result.expect_err("the file is wrong");
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn numpys_files_are_read() {
    let check = |bytes: &[u8], dtype, shape: &[usize], data: &[u8]| {
        let array = open(bytes).unwrap();
        assert_eq!((array.dtype(), array.shape(), array.data()), (dtype, shape, data));
        array.fortran_order()
    };
    let quarters = [0_f32, 0.25, 0.5, 0.75, 1.0, 1.25].map(f32::to_le_bytes).concat();
    assert!(!check(golden!("f32_2x3"), Dtype::F32, &[2, 3], &quarters));
    assert!(!check(golden!("i64_scalar"), Dtype::I64, &[], &(-7_i64).to_le_bytes()));
    let columns = [0, 0, 0, 0x42, 0, 0x3c, 0, 0x44, 0, 0x40, 0, 0x45];
    assert!(check(golden!("f16_fortran"), Dtype::F16, &[2, 3], &columns));
    assert!(!check(golden!("bool_5"), Dtype::Bool, &[5], &[1, 0, 1, 1, 0]));
    assert!(!check(golden!("c64_empty"), Dtype::C64, &[0, 4], &[]));
    assert!(!check(golden!("u2_version2"), Dtype::U16, &[2, 1], &[1, 0, 0xff, 0xff]));
    assert!(!check(golden!("u8_version3"), Dtype::U8, &[1], &[255]));
}

#[test]
fn what_is_written_is_what_numpy_writes() {
    for golden in
        [golden!("f32_2x3"), golden!("i64_scalar"), golden!("bool_5"), golden!("c64_empty")]
    {
        let array = open(golden).unwrap();
        assert_eq!(to_npy(array.dtype(), array.shape(), array.data()).unwrap(), golden);
    }
}

#[test]
fn every_type_that_numpy_has_comes_back() {
    let mut without = Vec::new();
    for dtype in Dtype::ALL {
        let data = vec![1; dtype.byte_len(&[2, 4, 2]).unwrap()];
        match to_npy(dtype, &[2, 4, 2], &data) {
            Ok(bytes) => {
                let array = open(&bytes).unwrap();
                assert_eq!(
                    (array.dtype(), array.shape(), array.data()),
                    (dtype, &[2, 4, 2][..], &data[..])
                );
            }
            Err(error) => {
                assert_eq!(error.code(), "ERR_NPY_DTYPE");
                without.push(dtype);
            }
        }
    }
    assert_eq!(without.len(), 9, "{without:?}");
    assert!(without.contains(&Dtype::BF16));
}

#[test]
fn elements_that_are_no_little_endian_numbers_are_refused() {
    let code = "ERR_NPY_DTYPE";
    assert_error(open(golden!("big_endian")), code, &["array.npy", "\">f4\" (big-endian)"]);
    assert_error(open(golden!("objects")), code, &["\"|O\" (Python objects)"]);
    assert_error(open(golden!("records")), code, &["records of several fields"]);
    assert_error(open(golden!("text")), code, &["\"<U2\""]);
    let bfloat16 = raw("{'descr': '<V2', 'fortran_order': False, 'shape': (1,)}", 2);
    assert_error(bfloat16, code, &["\"<V2\" (a type of another library"]);
}

#[test]
fn other_files_are_called_by_their_names() {
    assert_error(open(b""), "ERR_NPY_MAGIC", &["not an .npy file", "an empty file"]);
    assert_error(open(b"PK\x03\x04"), "ERR_NPY_MAGIC", &["a zip archive"]);
    assert_error(open(b"\x93NUMPY\x04\0\0\0"), "ERR_NPY_VERSION", &["version 4", "offset 6"]);
    assert_error(open(b"\x93NUMPY"), "ERR_NPY_TRUNCATED", &["version"]);
    assert_error(open(b"\x93NUMPY\x01\0\x76"), "ERR_NPY_TRUNCATED", &["length of the header"]);
    let parts = ["inside the header: 4294967295 bytes expected at offset 12, 0 found"];
    assert_error(open(b"\x93NUMPY\x02\0\xff\xff\xff\xff"), "ERR_NPY_TRUNCATED", &parts);
    assert_error(NpyFile::open("/nowhere.npy".as_ref()), "ERR_FILE_NOT_FOUND", &["/nowhere.npy"]);
}

#[test]
fn headers_are_read_as_python_would() {
    let spaced = raw(" {\"shape\" :( 2 , 3L ) ,'fortran_order':True,'descr':'|u1'} \n", 6).unwrap();
    assert_eq!((spaced.shape(), spaced.fortran_order()), (&[2, 3][..], true));

    let code = "ERR_NPY_HEADER";
    let keys = "'descr', 'fortran_order' and 'shape', each once";
    assert_error(raw("", 0), code, &["offset 10", "expected '{'"]);
    assert_error(raw("{}", 0), code, &[keys]);
    assert_error(raw("{'descr': '<f4', 'fortran_order': False}", 0), code, &[keys]);
    assert_error(raw("{'descr': '<f4', 'descr': '<f4'}", 0), code, &[keys]);
    assert_error(raw("{'extra': 1}", 0), code, &[keys]);
    assert_error(raw("{'fortran_order': 1}", 0), code, &["offset 28", "True or False"]);
    assert_error(raw("{'shape': (2, x)}", 0), code, &["offset 24", "a dimension"]);
    assert_error(raw("{'shape': (-1,)}", 0), code, &["a dimension"]);
    assert_error(raw("{'shape': (99999999999999999999,)}", 0), code, &["a dimension"]);
    assert_error(raw("{'descr: 5}", 0), code, &["a text in quotes"]);
    let many = format!("{{'shape': ({})}}", "1,".repeat(65));
    assert_error(raw(&many, 0), code, &["at most 64 dimensions"]);
    let after = raw("{'descr':'<f4','fortran_order':False,'shape':()} x", 4);
    assert_error(after, code, &["nothing but spaces"]);
}

#[test]
fn the_data_has_the_length_of_the_array() {
    let shaped = |shape: &str, len| {
        raw(&format!("{{'descr':'<f4','fortran_order':False,'shape':{shape}}}"), len)
    };
    assert!(shaped("(2,3)", 24).is_ok());
    let parts = ["F32 [2, 3] takes 24 bytes, found 23"];
    assert_error(shaped("(2,3)", 23), "ERR_NPY_SHAPE", &parts);
    assert_error(shaped("(2,3)", 25), "ERR_NPY_SHAPE", &["found 25"]);
    assert_error(shaped("(4294967296,4294967296)", 8), "ERR_NPY_OVERFLOW", &["overflows"]);
    assert_error(to_npy(Dtype::F32, &[2], &[0; 7]), "ERR_NPY_SHAPE", &["takes 8 bytes"]);
    assert_error(to_npy(Dtype::F32, &[usize::MAX, 2], &[]), "ERR_NPY_OVERFLOW", &["new .npy"]);
    assert_error(to_npy(Dtype::U8, &vec![1; 30_000], &[0]), "ERR_NPY_HEADER", &["65535"]);
}

#[test]
fn files_are_written_and_opened() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.npy");
    write_npy(&path, Dtype::I16, &[3], &[1, 0, 2, 0, 3, 0]).unwrap();
    assert_eq!(NpyFile::open(&path).unwrap().data(), [1, 0, 2, 0, 3, 0]);
    let error = write_npy(&path.join("b"), Dtype::I16, &[0], &[]).unwrap_err();
    assert_eq!(error.code(), "ERR_FILE_ACCESS");
}

fn check(bytes: &[u8]) {
    match open(bytes) {
        Ok(array) => assert_eq!(Some(array.data().len()), array.dtype().byte_len(array.shape())),
        Err(error) => assert!(error.code().starts_with("ERR_NPY_"), "{error:?}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_and_any_byte_may_change() {
    for golden in [golden!("f32_2x3"), golden!("u2_version2"), golden!("records")] {
        for len in 0..golden.len() {
            assert!(open(&golden[..len]).unwrap_err().code().starts_with("ERR_NPY_"));
        }
        for position in 0..golden.len() {
            for value in 0..=255 {
                let mut bytes = golden.to_vec();
                bytes[position] = value;
                check(&bytes);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(header in "[{}()\\[\\]'\",:<>|=a-z0-9TFL_ ]{0,120}", data_len in 0_usize..64) {
        if let Err(error) = raw(&header, data_len) {
            prop_assert!(error.code().starts_with("ERR_NPY_"));
        }
    }

    #[test]
    fn arrays_come_back(shape in prop::collection::vec(0_usize..5, 0..5), seed in any::<u8>()) {
        let data = vec![seed; 4 * shape.iter().product::<usize>()];
        let bytes = to_npy(Dtype::F32, &shape, &data)?;
        prop_assert_eq!((bytes.len() - data.len()) % 64, 0);
        let array = open(&bytes)?;
        prop_assert_eq!((array.shape(), array.data()), (&shape[..], &data[..]));
    }
}

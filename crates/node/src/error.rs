//! Errors as JavaScript sees them: an `Error` whose `code` is stable.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dyadic_model::{EngineError, ModelError};

/// The `code` of a JavaScript error.
#[derive(Clone, Copy, Debug)]
pub struct ErrorCode(pub &'static str);

impl AsRef<str> for ErrorCode {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl From<napi::Status> for ErrorCode {
    fn from(_: napi::Status) -> Self {
        Self("ERR_NATIVE")
    }
}

/// The result of every exported function.
pub type Result<T> = std::result::Result<T, napi::Error<ErrorCode>>;

/// Turns an error of the crates below into one that JavaScript can tell apart.
pub fn to_js(error: &ModelError) -> napi::Error<ErrorCode> {
    napi::Error::new(ErrorCode(error.code()), error.to_string())
}

/// Runs the body of an exported function: a panic would end the process, here it becomes `ERR_INTERNAL`.
pub fn guard<T>(body: impl FnOnce() -> std::result::Result<T, ModelError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result.map_err(|error| to_js(&error)),
        Err(panic) => Err(to_js(&EngineError::from_panic(panic.as_ref()).into())),
    }
}

//! Proof that nothing between pixels and logits is computed in floating point: one inference is executed instruction by instruction under ptrace, and
//! each instruction is decoded. The same is done with a function of floats, which must be caught.
//!
//! The program traces itself: started with `child NAME` it runs what is traced, between two breakpoints. x86-64 Linux only.

#![expect(clippy::print_stdout, reason = "a test program without a harness reports for itself")]

fn main() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    trace::main();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    dyadic_testkit::skip::skip("instructions are traced on x86-64 Linux only");
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

/// What the crate's own tests take their networks from.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../src/example.rs"]
mod example;

/// The names by which it calls the crate's types.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod graph {
    pub(crate) use dyadic_integer::{
        Description, Graph, Matrix, Mode, Node, NormChannel, NormKind, Op, Shape, Softmax, Width,
        Windows,
    };
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod trace {
    use std::arch::asm;
    use std::collections::{BTreeMap, HashMap};
    use std::io;
    use std::num::NonZeroUsize;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::ptr::null_mut;
    use std::sync::atomic::AtomicBool;

    use dyadic_integer::{IntegerModel, ModelOptions};
    use dyadic_kernels::activation::{Accuracy, Function};
    use dyadic_kernels::{Isa, Kernels};
    use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic};

    use crate::example;

    /// What is traced: the networks of `example::all`, then the function of floats.
    const CHILDREN: [&str; 5] = ["exact", "ivit", "ibert", "convolutional", "float"];

    pub(crate) fn main() {
        let args: Vec<String> = std::env::args().collect();
        if let [_, child, name, isa] = &args[..]
            && child == "child"
        {
            run_child(name, isa.parse().expect("an instruction set"));
            std::process::exit(0);
        }
        // Scalar code takes a million steps for each network; what compilers make of it is the same in all of them.
        let runs = CHILDREN.map(|name| (name, Isa::best())).into_iter();
        for (name, isa) in runs.chain([("exact", Isa::Scalar)]) {
            let Some(Trace { instructions, floating }) = trace(name, isa).expect("a traced child")
            else {
                return dyadic_testkit::skip::skip("this process may not trace a child");
            };
            println!("{name}, {isa}: {instructions} instructions, floating-point: {floating:?}");
            assert!(instructions > 1000, "{name}: the region between the breakpoints is empty");
            assert_eq!(name == "float", !floating.is_empty(), "{name}, {isa}: {floating:?}");
        }
    }

    fn breakpoint() {
        // SAFETY: the tracer takes the signal; without one the process ends, which is no unsoundness.
        unsafe { asm!("int3") };
    }

    fn run_child(name: &str, isa: Isa) {
        if name == "float" {
            let kernels = Kernels::for_isa(isa).expect("a supported instruction set");
            let (x, mut out) = (vec![0.5; 1000], vec![0.0; 1000]);
            breakpoint();
            kernels.apply(Function::Gelu, Accuracy::OneUlp, &x, &mut out);
            return breakpoint();
        }
        let index = CHILDREN.iter().position(|&child| child == name).expect("a child");
        let graph = example::all(1).swap_remove(index);
        let options = ModelOptions { threads: NonZeroUsize::new(1), isa: Some(isa) };
        let pixels = vec![77; graph.input().elements()];
        let mut logits = vec![0; example::CLASSES];
        let model = IntegerModel::new(graph, &options).expect("a model");
        let stop = AtomicBool::new(false);
        breakpoint();
        model.logits(&pixels, &mut logits, &stop).expect("logits");
        breakpoint();
    }

    /// What was executed between the breakpoints.
    struct Trace {
        instructions: u64,
        /// Floating-point arithmetic, by mnemonic.
        floating: BTreeMap<String, u64>,
    }

    /// Runs a child step by step. `None` where that is not permitted.
    fn trace(name: &str, isa: Isa) -> io::Result<Option<Trace>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["child", name, isa.name()]);
        // SAFETY: between fork and exec the closure makes one system call.
        unsafe {
            command.pre_exec(|| {
                check(libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()))
            });
        }
        let mut child = match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            spawned => spawned?,
        };
        let pid = i32::try_from(child.id()).expect("a process id");
        let mut trace = Trace { instructions: 0, floating: BTreeMap::new() };
        let mut verdicts: HashMap<u64, Verdict> = HashMap::new();
        let (mut inside, mut signal) = (false, 0_i32);
        // It has stopped at the end of exec.
        let mut status = wait(pid)?;
        while libc::WIFSTOPPED(status) {
            // Outside the region nothing else makes this signal.
            let mut at_breakpoint = !inside;
            if inside {
                let at = registers(pid)?.rip;
                let verdict = match verdicts.get(&at) {
                    Some(verdict) => verdict,
                    None => verdicts.entry(at).or_insert(Verdict::of(&code(pid, at), at)),
                };
                trace.instructions += 1;
                match verdict {
                    Verdict::Breakpoint => at_breakpoint = true,
                    Verdict::Floating(name) => {
                        *trace.floating.entry(name.clone()).or_default() += 1;
                    }
                    Verdict::Other => {}
                }
            }
            let request = if inside { libc::PTRACE_SINGLESTEP } else { libc::PTRACE_CONT };
            // SAFETY: the child is stopped and ours; the request takes no memory.
            check(unsafe { libc::ptrace(request, pid, null_mut::<u8>(), i64::from(signal)) })?;
            status = wait(pid)?;
            signal = 0;
            if libc::WIFSTOPPED(status) {
                match libc::WSTOPSIG(status) {
                    libc::SIGTRAP => inside ^= at_breakpoint,
                    other => signal = other,
                }
            }
        }
        // The status was taken above.
        let _ = child.try_wait();
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the child failed: {status}"
        );
        Ok(Some(trace))
    }

    fn check(result: libc::c_long) -> io::Result<()> {
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn wait(pid: i32) -> io::Result<i32> {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into())?;
        Ok(status)
    }

    fn registers(pid: i32) -> io::Result<libc::user_regs_struct> {
        // SAFETY: a structure of integers may be all zeros.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        let to = &raw mut registers;
        // SAFETY: the child is stopped, and `to` points to what the request writes.
        check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, null_mut::<u8>(), to) })?;
        Ok(registers)
    }

    /// The bytes of the instruction at an address, and some behind it.
    fn code(pid: i32, at: u64) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (word, offset) in bytes.chunks_exact_mut(8).zip([0, 8]) {
            let address = at + offset;
            // SAFETY: the child is stopped; the request reads its memory, and fails where there is none.
            let value =
                unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, pid, address, null_mut::<u8>()) };
            word.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// What an instruction is.
    enum Verdict {
        /// `int3`, the end of the region.
        Breakpoint,
        /// It computes, converts or compares in floating point. Moves, shuffles and bitwise operations do not.
        Floating(String),
        /// Anything else.
        Other,
    }

    impl Verdict {
        fn of(bytes: &[u8], at: u64) -> Self {
            const OPERATIONS: [&str; 24] = [
                "add", "sub", "mul", "div", "sqrt", "min", "max", "cmp", "comi", "ucomi", "round",
                "rndscale", "rcp", "rsqrt", "fm", "fnm", "hadd", "hsub", "dp", "range", "reduce",
                "scalef", "getexp", "getmant",
            ];
            const SUFFIXES: [&str; 7] = ["ss", "sd", "ps", "pd", "ph", "sh", "bf16"];
            let mut instruction = Instruction::default();
            Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode_out(&mut instruction);
            assert!(!instruction.is_invalid(), "an instruction that is not known: {bytes:02x?}");
            if instruction.mnemonic() == Mnemonic::Int3 {
                return Self::Breakpoint;
            }
            let name = format!("{:?}", instruction.mnemonic()).to_lowercase();
            let base = name.strip_prefix('v').unwrap_or(&name);
            let x87 = [CpuidFeature::FPU, CpuidFeature::FPU287, CpuidFeature::FPU387];
            let arithmetic = base.starts_with("cvt")
                || (OPERATIONS.iter().any(|operation| base.starts_with(operation))
                    && SUFFIXES.iter().any(|suffix| base.ends_with(suffix)));
            if arithmetic
                || instruction.cpuid_features().iter().any(|feature| x87.contains(feature))
            {
                Self::Floating(name)
            } else {
                Self::Other
            }
        }
    }
}

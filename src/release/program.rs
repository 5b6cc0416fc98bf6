//! Looks at the first bytes of a program: for which machine it is, and whether it runs where there is nothing else.
//!
//! Reads the header and the segments of a 64-bit ELF, and never the rest.

use crate::Error;

/// The segment that names the loader of a program that is not static.
const INTERPRETER: u64 = 3;

/// The architecture of a static program for Linux, in the words of Go.
///
/// # Errors
///
/// If it is not such a program: an image that holds nothing else could not run it.
pub fn architecture(program: &[u8]) -> Result<&'static str, Error> {
    if program.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("it is no 64-bit program for Linux, and an image of the command is for Linux".into());
    }
    let short = || Error::from("its header ends too early");
    let architecture = match number(program, 18, 2).ok_or_else(short)? {
        62 => "amd64",
        183 => "arm64",
        other => return Err(format!("it is for a machine that images are not made for (number {other})").into()),
    };
    let [first, size, count] = [(32, 8), (54, 2), (56, 2)].map(|(at, bytes)| number(program, at, bytes));
    let (Some(first), Some(size), Some(count)) = (first, size, count) else { return Err(short()) };
    for segment in 0..count {
        let at = segment.checked_mul(size).and_then(|at| at.checked_add(first)).ok_or_else(short)?;
        if number(program, at, 4).ok_or_else(short)? == INTERPRETER {
            return Err("it is not static, and an image that holds nothing else could not run it: build it for a \
                target such as x86_64-unknown-linux-musl"
                .into());
        }
    }
    Ok(architecture)
}

/// A number of so many bytes, the least significant first.
fn number(bytes: &[u8], at: u64, size: u64) -> Option<u64> {
    let range = usize::try_from(at).ok()?..usize::try_from(at.checked_add(size)?).ok()?;
    Some(bytes.get(range)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with segments of these kinds behind it.
    fn elf(machine: u16, segments: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(segments.len()).unwrap();
        for kind in segments {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn only_a_static_program_for_a_known_machine_is_one_for_an_image() {
        assert_eq!(architecture(&elf(62, &[1, 6])).unwrap(), "amd64");
        assert_eq!(architecture(&elf(183, &[])).unwrap(), "arm64");
        let short = elf(62, &[1, 1]);
        for (program, due) in [
            (&elf(62, &[1, 3])[..], "not static"),
            (&elf(3, &[1]), "number 3"),
            (b"\0asm\x01\0\0\0", "no 64-bit program"),
            (b"", "no 64-bit program"),
            (&short[..40], "ends too early"),
            (&short[..100], "ends too early"),
        ] {
            let told = architecture(program).unwrap_err().to_string();
            assert!(told.contains(due), "{told}");
        }
    }

    #[test]
    fn what_this_machine_runs_with_a_loader_is_seen() {
        let own = crate::read(&std::env::current_exe().unwrap()).unwrap();
        // Tests are linked to the library of C, but where the target has it inside.
        if cfg!(all(target_os = "linux", not(target_feature = "crt-static"), target_pointer_width = "64")) {
            assert!(architecture(&own).unwrap_err().to_string().contains("not static"));
        }
    }
}

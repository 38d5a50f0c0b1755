//! Whether a file is a program for this machine.
//!
//! Asking the kernel is not enough: where it says no, `execvp` hands the file to a shell, which would read a program
//! for another machine as a script.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const ELF: &[u8] = b"\x7fELF";
const SCRIPT: &[u8] = b"#!";

/// The processor's number in ELF headers.
const MACHINE: Option<u16> = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => Some(62),
    b"aarch64" => Some(183),
    b"riscv64" => Some(243),
    _ => None,
};

/// Whether the kernel can run this file; its interpreter and libraries may still be missing.
pub(super) fn runs_here(path: &Path) -> io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(20).read_to_end(&mut header)?;
    Ok(is_for_this_machine(&header))
}

fn is_for_this_machine(header: &[u8]) -> bool {
    if header.starts_with(SCRIPT) {
        return true;
    }
    let machine = header.get(18..20).map(|bytes| [bytes[0], bytes[1]]);
    let (true, Some(machine)) = (header.starts_with(ELF), machine) else { return false };
    // The byte after the class tells the order of all bytes that follow.
    let machine = if header[5] == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    MACHINE.is_none_or(|here| here == machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_runs_here() {
        assert!(runs_here(&std::env::current_exe().unwrap()).unwrap());
    }

    #[test]
    fn a_program_for_another_machine_and_a_text_do_not() {
        let mut header = vec![0; 20];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 8; // MIPS
        assert!(!is_for_this_machine(&header));
        for wrong in [&b""[..], b"\x7fELF", b"PK\x03\x04 a jar that is long enough", b"MZ"] {
            assert!(!is_for_this_machine(wrong), "{wrong:?}");
        }
        assert!(is_for_this_machine(b"#!/bin/sh\n"));
    }
}

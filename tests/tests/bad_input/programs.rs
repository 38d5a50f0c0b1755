//! What is wrong with a user's program.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pelton_tests::programs::program;

use crate::cluster::shared;
use crate::page::Seen;
use crate::place::Place;

/// An ELF header for another machine than any this is built on: MIPS.
fn foreign() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    header[16] = 2;
    header[18] = 8;
    header
}

fn not_executable() -> Seen {
    let place = Place::new();
    let path = place.path().join("copy");
    std::fs::copy(program("test-job"), &path).expect("copied");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("no longer executable");
    place.client(&["info", "copy"])
}

fn endless() -> Seen {
    let yes = ["/usr/bin/yes", "/bin/yes"].into_iter().map(Path::new).find(|path| path.exists());
    Place::new().link(yes.expect("every Unix has `yes`"), "yes").client(&["info", "yes"])
}

fn job(arguments: &[&str]) -> Seen {
    Place::new().client(&[&["info", "job"], arguments].concat())
}

rows! {
    program_is_missing => Place::new().client(&["run", "none"]);
    program_is_a_directory => Place::new().client(&["run", "conf"]);
    program_is_a_script => Place::new().write("job.sh", "#!/bin/sh\n").client(&["run", "job.sh"]);
    program_is_a_jar => Place::new().write("job.jar", "PK\x03\x04").client(&["run", "job.jar"]);
    program_is_empty => Place::new().write("empty", "").client(&["run", "empty"]);
    program_is_a_text => Place::new().write("notes.txt", "buy milk\n").client(&["run", "notes.txt"]);
    program_is_not_executable => not_executable();
    program_is_for_another_machine => Place::new().write("mips", foreign()).client(&["run", "mips"]);
    program_never_ends_planning => Place::new().client(&["info", "--plan-timeout", "300 ms", "job", "never-plans"]);
    program_prints_while_planned => job(&["prints-while-planned"]);
    program_prints_without_end => endless();
    program_panics_while_planned => job(&["panics-while-planned"]);
    program_fails_while_planned => job(&["csv", "guess", "in.csv", "out"]);
    program_ends_without_execute => job(&["no-execute"]);
    program_builds_another_graph => {
        let (seen, _) = Place::new().job(&shared(), &["fickle"]);
        seen
    };
    parallelism_is_above_the_maximum =>
        Place::new().client(&["info", "-p", "4", "-Dpipeline.max-parallelism=2", "job", "forever"]);
    parallelism_is_zero => Place::new().client(&["info", "-p", "0", "job", "forever"]);
    parallelism_is_no_number => Place::new().client(&["info", "-p", "x", "job", "forever"]);
    plan_timeout_is_no_duration => Place::new().client(&["info", "--plan-timeout", "soon", "job", "forever"]);
}

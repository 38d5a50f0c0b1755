//! Worker processes: started so that they cannot outlive their supervisor, watched, and ended with all they started.
//!
//! | what could go wrong | what stands against it |
//! |---|---|
//! | the supervisor ends in order | workers are asked to end, then killed |
//! | the supervisor is killed | their standard input closes, and the kernel kills them (parent-death signal) |
//! | a worker leaves children behind | its process group is killed before its number is free again |
//! | the supervisor is killed, and its workers leave children behind | [`undertaker`] kills their process groups |
//! | whoever wanted the worker forgets it | a guarded process that is dropped is killed |
//! | a worker takes all memory | [`memory_watch`] kills it; the kernel would choose it first anyway |
//! | a worker inherits files or sockets | all descriptors but the three standard ones close when it starts |

mod executable;
pub mod memory_watch;
pub mod output;
pub mod process;
pub mod undertaker;

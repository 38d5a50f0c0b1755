//! How elements get from one task to the next: bounded queues inside a worker, framed TCP with credits between workers.

pub mod input_queue;

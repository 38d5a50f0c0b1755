//! The inputs of the TaskManager's [memory budget](crate::config::MemoryBudget).

use crate::config::byte_size::ByteSize;
use crate::config::option::options;
use crate::config::value::Fraction;

options! {
    "TaskManager memory";

    /// Memory of the TaskManager and all of its workers together: the one number to set. If neither it nor
    /// `taskmanager.memory.flink.size` nor both of task heap and managed size is set, `1728 mb`.
    PROCESS_SIZE: Option<ByteSize> = "taskmanager.memory.process.size";

    /// Memory without the overhead: framework, tasks, managed memory and network buffers.
    FLINK_SIZE: Option<ByteSize> = "taskmanager.memory.flink.size";

    /// Memory of the TaskManager's and the workers' own structures. Counted in the budget and shown; what is watched is
    /// a process's memory as a whole.
    FRAMEWORK_HEAP_SIZE: ByteSize = "taskmanager.memory.framework.heap.size", default "128 mb";

    /// A second part of the framework's memory. A native process has one heap, so it is added to the first.
    FRAMEWORK_OFF_HEAP_SIZE: ByteSize = "taskmanager.memory.framework.off-heap.size", default "128 mb";

    /// Memory for operators, user code and the batches they hold. If not set, what the others leave. Counted in the
    /// budget and shown; what is watched is a process's memory as a whole.
    TASK_HEAP_SIZE: Option<ByteSize> = "taskmanager.memory.task.heap.size", shown "what is left";

    /// A second part of the tasks' memory. A native process has one heap, so it is added to the first.
    TASK_OFF_HEAP_SIZE: ByteSize = "taskmanager.memory.task.off-heap.size", default "0 bytes";

    /// Memory for state, sorting and caches, split evenly among the slots. If not set, its fraction. RocksDB and the
    /// cache above it keep within it; `hashmap` state lives on the heap of its worker and is not counted here.
    MANAGED_SIZE: Option<ByteSize> = "taskmanager.memory.managed.size", shown "its fraction",
        fallback ["taskmanager.memory.size"];

    /// Managed memory as a share of `taskmanager.memory.flink.size`.
    MANAGED_FRACTION: Fraction = "taskmanager.memory.managed.fraction", default "0.4";

    /// Memory for data between tasks as a share of `taskmanager.memory.flink.size`.
    NETWORK_FRACTION: Fraction = "taskmanager.memory.network.fraction", default "0.1",
        fallback ["taskmanager.network.memory.fraction"];

    /// Least memory for data between tasks.
    NETWORK_MIN: ByteSize = "taskmanager.memory.network.min", default "64 mb",
        fallback ["taskmanager.network.memory.min"];

    /// Most memory for data between tasks.
    NETWORK_MAX: Option<ByteSize> = "taskmanager.memory.network.max", shown "infinite",
        fallback ["taskmanager.network.memory.max"];

    /// Memory that no budget governs (code, thread stacks, what the allocator keeps) as a share of
    /// `taskmanager.memory.process.size`. There is no JVM; the name is Flink's.
    OVERHEAD_FRACTION: Fraction = "taskmanager.memory.jvm-overhead.fraction", default "0.1";

    /// Least memory that is left to what no budget governs.
    OVERHEAD_MIN: ByteSize = "taskmanager.memory.jvm-overhead.min", default "192 mb";

    /// Most memory that is left to what no budget governs.
    OVERHEAD_MAX: ByteSize = "taskmanager.memory.jvm-overhead.max", default "1 gb";
}

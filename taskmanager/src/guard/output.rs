//! What workers print: whole lines, each to its file, and the last lines of their complaints.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_process::log_files::LogFiles;
use pelton_process::rotating_file::RotatingFile;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line that is kept in one piece.
const MAX_LINE: usize = 64 << 10;
/// How many of the last lines of standard error are kept.
const TAIL_LINES: usize = 50;
/// How much of each of them, in bytes.
const TAIL_LINE_BYTES: usize = 1024;
/// Begins the line in which a worker that got a deadly signal says where.
const CRASH_MARK: &[u8] = b"pelton-crash: ";

/// Takes lines.
pub trait LineSink: Send {
    /// Takes one or more whole lines with their ends. Only a line longer than 64 KiB comes in pieces.
    fn lines(&mut self, lines: &[u8]);
}

/// Passes everything from `pipe` to `sink` until it ends.
pub async fn pump(mut pipe: impl AsyncRead + Unpin, sink: &mut impl LineSink) {
    let mut buffer = vec![0; MAX_LINE];
    let mut filled = 0;
    loop {
        match pipe.read(&mut buffer[filled..]).await {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot read what a worker prints");
                break;
            }
        }
        let whole = match buffer[..filled].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if filled == buffer.len() => filled,
            None => continue,
        };
        sink.lines(&buffer[..whole]);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    if filled > 0 {
        let mut last = buffer[..filled].to_vec();
        last.push(b'\n');
        sink.lines(&last);
    }
}

/// The `.out` file, which all workers of a TaskManager share, or the TaskManager's own standard output.
#[derive(Clone)]
pub struct StandardOutput {
    file: Option<Arc<Mutex<RotatingFile>>>,
    terminal: bool,
}

impl StandardOutput {
    /// The output beside the log, shown on the terminal too when the TaskManager runs in the foreground.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn open(files: Option<&LogFiles>) -> io::Result<Self> {
        let Some(files) = files else { return Ok(Self { file: None, terminal: true }) };
        // A daemon's own output went there already, so it is not set aside at the start here but by the script.
        let file = match files.foreground {
            true => RotatingFile::begin(files.out(), files.rotation)?,
            false => RotatingFile::append(files.out(), files.rotation)?,
        };
        Ok(Self { file: Some(Arc::new(Mutex::new(file))), terminal: files.foreground })
    }
}

impl LineSink for StandardOutput {
    fn lines(&mut self, lines: &[u8]) {
        if let Some(file) = &self.file
            && let Err(error) = file.lock().write_lines(lines)
        {
            tracing::warn!(%error, "lost what a worker printed");
        }
        if self.terminal {
            // A terminal that was closed is nothing to stop for.
            drop(io::stdout().lock().write_all(lines));
        }
    }
}

/// The standard error of one worker: its log file, and what its end will be explained with.
pub struct StandardError {
    path: Option<PathBuf>,
    rotation: pelton_process::rotating_file::Rotation,
    file: Option<RotatingFile>,
    terminal: bool,
    tail: Tail,
}

impl StandardError {
    /// The log of one worker beside the TaskManager's, which begins with the worker's first line.
    pub fn new(files: Option<&LogFiles>, name: &str) -> Self {
        Self {
            path: files.map(|files| files.beside(name)),
            rotation: files
                .map_or(pelton_process::rotating_file::Rotation { max_size: 0, keep: 0 }, |files| files.rotation),
            file: None,
            terminal: files.is_none_or(|files| files.foreground),
            tail: Tail::default(),
        }
    }

    /// The last lines and the task that crashed, and the log file if there is one.
    pub fn finish(self) -> (Vec<String>, Option<String>, Option<PathBuf>) {
        (self.tail.lines.into(), self.tail.crashed_task, self.file.map(|file| file.path().to_owned()))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(RotatingFile::append(path.clone(), self.rotation)?),
        };
        file.write_lines(lines)
    }
}

impl LineSink for StandardError {
    fn lines(&mut self, lines: &[u8]) {
        if let Err(error) = self.write(lines) {
            tracing::warn!(%error, "lost what a worker complained about");
        }
        if self.terminal {
            drop(io::stderr().lock().write_all(lines));
        }
        self.tail.extend(lines);
    }
}

/// The last lines, and what the crash mark says.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    crashed_task: Option<String>,
}

impl Tail {
    fn extend(&mut self, lines: &[u8]) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if let Some(crash) = line.strip_prefix(CRASH_MARK) {
                let crash = String::from_utf8_lossy(crash);
                let task = crash.split_once("task=").map(|(_, task)| task.trim().to_owned());
                self.crashed_task = task.filter(|task| !task.is_empty());
                // The mark begins with a line end, in case the last line had none.
                self.lines.pop_back_if(|line| line.is_empty());
                continue;
            }
            if self.lines.len() == TAIL_LINES {
                self.lines.pop_front();
            }
            let line = &line[..line.len().min(TAIL_LINE_BYTES)];
            self.lines.push_back(String::from_utf8_lossy(line).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Pieces(Vec<Vec<u8>>);

    impl LineSink for Pieces {
        fn lines(&mut self, lines: &[u8]) {
            self.0.push(lines.to_vec());
        }
    }

    async fn pieces(reads: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut writer, reader) = tokio::io::duplex(1 << 20);
        let mut sink = Pieces::default();
        let write = async {
            for read in reads {
                tokio::io::AsyncWriteExt::write_all(&mut writer, read).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(writer);
        };
        tokio::join!(pump(reader, &mut sink), write);
        sink.0
    }

    #[tokio::test]
    async fn only_whole_lines_are_passed_on() {
        let found = pieces(&[b"a\nb", b"c\n", b"d"]).await;
        assert!(found.iter().all(|piece| piece.ends_with(b"\n")), "{found:?}");
        assert_eq!(found.concat(), b"a\nbc\nd\n");
    }

    #[tokio::test]
    async fn a_line_without_end_takes_no_memory_without_end() {
        let long = vec![b'x'; 3 * MAX_LINE];
        let found = pieces(&[&long]).await;
        assert!(found.iter().all(|piece| piece.len() <= MAX_LINE + 1));
        assert_eq!(found.concat().len(), long.len() + usize::from(!found.concat().ends_with(b"x")));
    }

    #[test]
    fn the_tail_has_the_last_lines_without_the_crash_mark() {
        let mut tail = Tail::default();
        for number in 0..TAIL_LINES + 5 {
            tail.extend(format!("line {number}\n").as_bytes());
        }
        tail.extend(b"\npelton-crash: signal=SIGSEGV task=Map -> Sink (2/4)#0\n");
        assert_eq!(tail.lines.back().map(String::as_str), Some("line 54"));
        assert!(tail.lines.len() <= TAIL_LINES);
        assert_eq!(tail.crashed_task.as_deref(), Some("Map -> Sink (2/4)#0"));
    }
}

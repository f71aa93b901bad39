//! A connection to a PostgreSQL that stays open, and keeps what it has locked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What the session prints when statements are done.
const DONE: &str = "statements are done";

/// A session of `psql`. It ends when this is dropped, and what it has locked is free then.
#[derive(Debug)]
pub struct PostgresSession {
    program: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl PostgresSession {
    pub(crate) fn start(mut psql: Command) -> PostgresSession {
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut program = psql.spawn().expect("psql is installed");
        let input = program.stdin.take().expect("piped");
        let output = BufReader::new(program.stdout.take().expect("piped"));
        PostgresSession { program, input, output }
    }

    /// Begins statements, and does not wait for them.
    ///
    /// # Panics
    /// When the session has ended.
    pub fn begin(&mut self, statements: &str) {
        writeln!(self.input, "{statements};").expect("the session is open");
    }

    /// Runs statements, and waits until they are done.
    ///
    /// # Panics
    /// When the session has ended, also by an error in them.
    pub fn run(&mut self, statements: &str) {
        writeln!(self.input, "{statements};\n\\echo {DONE}").expect("the session is open");
        let mut line = String::new();
        while line.trim_end() != DONE {
            line.clear();
            let read = self.output.read_line(&mut line).expect("text");
            assert!(read > 0, "the session has ended at: {statements}");
        }
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        let _has_ended = self.program.kill();
        let _reaped = self.program.wait();
    }
}

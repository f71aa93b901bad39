//! What tungstenite gets of what a client sends, with memory and without.

use std::task::{Context, Poll};
use std::time::Duration;

use hub::MemoryBudget;
use settings::Settings;
use tokio::io::ReadBuf;

use super::skipped_message::HEAD_BYTES;
use super::*;
use crate::edge::websocket::tap::Tap;

/// What tungstenite gets of `sent`, read through a buffer of `size` bytes, and the heads of what was skipped.
fn passed(sent: &[u8], size: usize, memory: &Arc<TenantMemory>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut settings = Settings::default();
    settings.server.large_message_timeout = Duration::ZERO;
    let config = Arc::new(ConnectionConfig::of(&settings));
    let mut tap = Tap::new(sent, &[], Arc::clone(memory), config);
    let (mut passed, mut skipped) = (Vec::new(), Vec::new());
    loop {
        let mut space = vec![0; size];
        let mut buffer = ReadBuf::new(&mut space);
        tap.begin_read();
        match tap.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Ready(read) => read.expect("every message can be skipped"),
            Poll::Pending => {
                assert!(tap.is_read_over(), "nothing waits");
                skipped.extend(tap.take_skipped().map(|message| message.bytes));
                continue;
            }
        }
        if buffer.filled().is_empty() {
            return (passed, skipped);
        }
        passed.extend_from_slice(buffer.filled());
    }
}

fn frame(first: u8, bytes: usize) -> Vec<u8> {
    let mut frame = vec![first, 0xff];
    frame.extend((bytes as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend((0..bytes).map(|n| n as u8));
    frame
}

#[test]
fn a_large_control_frame_within_a_message_that_is_skipped_is_an_error() {
    let mut settings = Settings::default();
    settings.server.large_message_timeout = Duration::ZERO;
    let none = TenantMemory::new(&MemoryBudget::new(0, 75));
    let mut intake = Intake::new(none, Arc::new(ConnectionConfig::of(&settings)));
    for part in [&frame(0x01, 30_000)[..14], &[0; 30_000]] {
        let step = intake.step(part, Waker::noop()).expect("it is skipped");
        assert_eq!(step, Step::Skip(part.len()));
    }
    let error = intake.step(&frame(0x89, 20_000), Waker::noop()).expect_err("it is invalid");
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
}

#[test]
fn what_precedes_a_message_without_memory_is_passed_before_the_error() {
    let mut settings = Settings::default();
    settings.server.large_message_timeout = Duration::ZERO;
    let none = TenantMemory::new(&MemoryBudget::new(0, 75));
    let mut intake = Intake::new(none, Arc::new(ConnectionConfig::of(&settings)));
    let (small, rest) = (frame(0x81, 300), [frame(0x01, 10), frame(0x80, 30_000)].concat());
    let step = intake.step(&[&small[..], &rest].concat(), Waker::noop()).expect("there is something to pass");
    let begun = frame(0x01, 10).len();
    assert_eq!(step, Step::Pass(small.len() + begun));
    let error = intake.step(&rest[begun..], Waker::noop()).expect_err("there is no memory for the rest");
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
}

#[test]
fn what_is_passed_does_not_depend_on_where_reads_end() {
    let (small, large) = (frame(0x81, 300), frame(0x82, 40_000));
    let fragments = [frame(0x01, 30_000), frame(0x89, 5), frame(0x80, 700)];
    let all = [&small, &large, &fragments[0], &fragments[1], &fragments[2], &small, &small].map(|f| &f[..]);
    let without = [&small, &fragments[1], &small, &small].map(|f| &f[..]);
    let none = TenantMemory::new(&MemoryBudget::new(0, 75));
    let some = TenantMemory::unlimited();
    for size in (14..40).chain([1_024, 7_001, 100_000]) {
        let (bytes, skipped) = passed(&all.concat(), size, &none);
        assert!(bytes == without.concat(), "buffer of {size}");
        assert!(skipped.len() == 2 && skipped[0][..] == large[14..][..HEAD_BYTES], "buffer of {size}");
        let (bytes, skipped) = passed(&all.concat(), size, &some);
        assert!(bytes == all.concat() && skipped.is_empty(), "buffer of {size}");
        assert_eq!(some.total(), 0);
    }
}

//! Connections that do nothing, or next to nothing: they cost little, and nobody else waits for them.
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Home, Invar, Line, eventually, resident};

/// As many senders' kept connections as a large site may have.
const IDLE: usize = 10_000;
/// Fewer show nothing; a machine that allows no more fails.
const IDLE_LEAST: usize = 400;
/// Senders whose bodies come byte by byte.
const SLOW: usize = 200;
/// Senders that close their half when they have sent everything.
const HALF_CLOSED: usize = 200;

/// How long anybody else's request may take meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

fn request(line: &Line) -> (String, String) {
    let body = format!("{}\n", line.to_json());
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: invar\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head, body)
}

fn event(what: &str, number: usize) -> Line {
    Line::new("n1", "worker", what, json!({ "number": number }))
}

async fn found(invar: &Invar, what: &str, count: usize) {
    let path = format!("/api/v1/events?event={what}");
    let all = eventually(PATIENCE * 4, async || (invar.api.all(&path).await.len() == count).then_some(()));
    assert!(all.await.is_some(), "{count} events {what} were expected\n{}", invar.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_slow_and_half_closed_senders_keep_nobody_waiting() {
    let home = Home::new();
    let invar = home.start().await;
    let before = resident(invar.id());

    let mut idle = Vec::with_capacity(IDLE);
    while idle.len() < IDLE {
        match TcpStream::connect(&invar.http).await {
            Ok(stream) => idle.push(stream),
            // This process may have so many files open, and no more.
            Err(_) if idle.len() >= IDLE_LEAST + SLOW + HALF_CLOSED => {
                idle.truncate(idle.len() - SLOW - HALF_CLOSED - 50);
                break;
            }
            Err(error) => panic!("only {} connections: {error}", idle.len()),
        }
    }
    let mut slow = Vec::with_capacity(SLOW);
    for number in 0..SLOW {
        let (head, body) = request(&event("slow.sent", number));
        let mut stream = TcpStream::connect(&invar.http).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..1]).await.unwrap();
        slow.push((stream, body));
    }
    for number in 0..HALF_CLOSED {
        let (head, body) = request(&event("half.sent", number));
        let mut stream = TcpStream::connect(&invar.http).await.unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut reply = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut reply)).await.unwrap().unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }

    // Whoever sends as one should is served at once.
    let started = Instant::now();
    for number in 0..20 {
        invar.send(&[event("well.sent", number)]).await;
    }
    assert!(started.elapsed() < PATIENCE, "twenty requests took {:?} beside idle connections", started.elapsed());
    found(&invar, "well.sent", 20).await;
    found(&invar, "half.sent", HALF_CLOSED).await;
    let each = resident(invar.id()).saturating_sub(before) / (idle.len() + SLOW) as u64;
    assert!(each < 32 << 10, "a connection that does nothing takes {each} bytes");

    // The slow ones finish, and nothing of theirs is lost.
    for (mut stream, body) in slow {
        stream.write_all(&body.as_bytes()[1..]).await.unwrap();
        let mut start = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut start)).await.unwrap().unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
    }
    found(&invar, "slow.sent", SLOW).await;
    drop(idle);
    assert!(!invar.said("panicked"), "{}", invar.log());
    invar.stop().await;
}

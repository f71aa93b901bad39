//! Clients that request `/metrics` and do not read it: an operator gets the page all the same.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{Request, WAIT_MAX, World};
use settings::{ByteSize, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::size;

/// In which an operator gets the page, on a busy machine. Pages that are not read are kept for 75 seconds.
const SOON: Duration = Duration::from_secs(15);

/// A server whose page is larger than what the kernel keeps of a connection.
async fn world(change: impl FnOnce(&mut Settings)) -> World {
    let world = World::with(|settings| {
        settings.server.send_buffer_size = ByteSize::kib(8);
        change(settings);
    })
    .await;
    world.apply(|settings| {
        for n in 0..150 {
            let id = format!("tenant-{n}");
            settings.tenants.insert(id.clone(), world.tenant_settings(&id));
        }
    });
    world
}

/// A client at this address that has requested the page, and has read the status of its response only.
async fn request_page(world: &World, address: &str) -> (TcpStream, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a size that Linux raises");
    socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("a loopback address");
    let mut stream = socket.connect(world.address()).await.expect("the server listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is open");
    let mut start = [0; 12];
    let read = timeout(WAIT_MAX, stream.read_exact(&mut start)).await.expect("a response comes");
    let status = read.ok().and_then(|_| str::from_utf8(&start[9..]).ok()?.parse().ok());
    (stream, status.expect("a status"))
}

async fn assert_page_for_operator(world: &World) {
    let started = Instant::now();
    let page = world.behind(world.endpoint().from("127.0.0.99")).send(Request::get("/metrics")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().ends_with('\n'), "the whole page");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

// An address with several makes room for one without any.
#[tokio::test]
async fn the_addresses_with_the_most_unread_pages_make_room_for_an_operator() {
    let world = world(|_| {}).await;
    let mut unread = Vec::new();
    for host in 1..=5 {
        for _ in 0..52 {
            unread.push(request_page(&world, &format!("127.0.0.{host}")).await);
        }
    }
    for _ in 0..5 {
        assert_page_for_operator(&world).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_page_unread_for_a_while_makes_room_also_if_it_is_the_only_one_of_its_address() {
    let world = world(|_| {}).await;
    let mut unread = Vec::new();
    for host in 0..256 {
        let (stream, status) =
            request_page(&world, &format!("127.0.{}.{}", host / 128, 1 + host % 128)).await;
        assert_eq!(status, 200);
        unread.push(stream);
    }
    assert_page_for_operator(&world).await;
    world.stop().await;
}

// Sixteen had all the room there was, and of an operator that a busy node served slowly the page was cut off for the next.
#[tokio::test]
async fn pages_of_an_operator_come_at_once_and_whole_however_many_addresses_do_not_read_theirs() {
    let world = world(|_| {}).await;
    let mut unread = Vec::new();
    for host in 0..200 {
        let (stream, status) = request_page(&world, &format!("127.0.1.{}", 1 + host)).await;
        assert_eq!(status, 200, "each has room");
        unread.push(stream);
    }
    let texts = world.number("realtime_memory_used_bytes{kind=\"sending\"}").await;
    let page = world.send(Request::get("/metrics")).await.text().len() as f64;
    assert!(texts < 40.0 * page, "{texts} bytes for pages of {page}");
    for _ in 0..5 {
        assert_page_for_operator(&world).await;
    }
    world.stop().await;
}

// As soon as there was a response, its connection waited for the next request, and was closed as the one that had waited
// the longest.
#[tokio::test]
async fn a_page_that_is_being_sent_is_not_cut_off_for_other_connections() {
    let world = world(|settings| settings.server.max_connections = size(1)).await;
    let (mut page, _) = request_page(&world, "127.0.0.1").await;
    let mut others = Vec::new();
    for host in 0..1_100 {
        let address = format!("127.0.{}.{}", 1 + host / 200, 1 + host % 200);
        let mut other = world.behind(world.endpoint().from(&address)).dial().await;
        let _may_be_closed = other.write(b"GET /").await;
        others.push(other);
    }
    assert!(others[0].is_dropped().await, "those that wait make room");
    let mut rest = Vec::new();
    while !rest.ends_with(b"\n") || rest.len() < 100_000 {
        let read = timeout(WAIT_MAX, page.read_buf(&mut rest)).await.expect("the page goes on");
        assert!(read.expect("it is open") > 0, "cut off after {} bytes", rest.len());
    }
    world.stop().await;
}

// A byte from time to time kept it open for ever.
#[tokio::test]
async fn a_response_that_is_read_slowly_has_a_deadline_as_a_whole() {
    let world = world(|settings| {
        settings.outbox.stall_timeout = Duration::from_millis(900);
        settings.server.keep_alive_timeout = Duration::from_millis(1_500);
    })
    .await;
    let whole = world.send(Request::get("/metrics")).await.text().len();
    let (mut stream, _) = request_page(&world, "127.0.0.1").await;
    let (mut total, mut some) = (0, [0; 1_024]);
    loop {
        // The behaviour depends on the time that passes.
        sleep(Duration::from_millis(30)).await;
        match stream.read(&mut some).await {
            Ok(count) if count > 0 => total += count,
            _end => break,
        }
    }
    assert!(total < whole / 2, "{total} of {whole} bytes");
    world.stop().await;
}

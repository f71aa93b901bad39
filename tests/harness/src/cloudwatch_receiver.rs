//! CloudWatch under the control of a test: decodes what the AWS SDK sends, with a CBOR library that the SDK does not use, and
//! checks what CloudWatch would refuse. Accepts it, refuses it with a code, or does not respond.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ciborium::Value;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::WAIT_MAX;
use crate::received_body::{header, read};

/// Where version 2 of the protocol RPC of Smithy has the one operation that is used.
const PATH: &str = "/service/GraniteServiceVersion20100801/operation/PutMetricData";

/// What CloudWatch accepts in one request.
const BYTES_MAX: usize = 1_000_000;
const METRICS_MAX: usize = 1_000;
const VALUES_MAX: usize = 150;

/// A running receiver; stops on drop.
#[derive(Debug)]
pub struct CloudWatchReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// How requests are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// They are accepted.
    Accepted,
    /// They are accepted, but answered that much later.
    AcceptedAfter(Duration),
    /// They are refused with a status and a code.
    Refused(u16, &'static str),
    /// Not at all.
    Nothing,
}

/// One request that it got.
#[derive(Debug, Clone)]
pub struct PutMetrics {
    /// When it was received.
    pub at: Instant,
    /// Its headers.
    pub headers: HeaderMap,
    /// The namespace of its metrics.
    pub namespace: String,
    /// Its metrics.
    pub data: Vec<SentMetric>,
    /// Whether it was accepted.
    pub was_accepted: bool,
}

/// One metric of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct SentMetric {
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub dimensions: BTreeMap<String, String>,
    /// When it was measured, in seconds since 1970.
    pub timestamp: f64,
    /// Its unit.
    pub unit: Option<String>,
    /// 1 in high resolution.
    pub resolution: Option<i128>,
    /// Values and how often each occurs.
    pub values: Vec<(f64, f64)>,
    /// Number, sum, minimum and maximum of values that are not known one by one.
    pub statistics: Option<[f64; 4]>,
}

#[derive(Debug)]
struct Shared {
    answer: watch::Sender<Answer>,
    received: watch::Sender<Vec<PutMetrics>>,
}

impl CloudWatchReceiver {
    /// A receiver that accepts everything.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            answer: watch::Sender::new(Answer::Accepted),
            received: watch::Sender::default(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, serving }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers what it receives from now on like this. What has had no answer gets one.
    pub fn answer(&self, answer: Answer) {
        self.shared.answer.send_replace(answer);
    }

    /// What it has received.
    pub fn received(&self) -> Vec<PutMetrics> {
        self.shared.received.borrow().clone()
    }

    /// All metrics of this name that it has accepted, in their order.
    pub fn accepted(&self, name: &str) -> Vec<SentMetric> {
        let accepted = self.received().into_iter().filter(|request| request.was_accepted);
        accepted.flat_map(|request| request.data).filter(|metric| metric.name == name).collect()
    }

    /// Waits until what it has received is as it should be.
    ///
    /// # Panics
    /// When it is not within [`WAIT_MAX`].
    pub async fn wait_until(&self, what: &str, holds: impl Fn(&[PutMetrics]) -> bool) {
        let mut received = self.shared.received.subscribe();
        let waiting = received.wait_for(|received| holds(received));
        let waited = timeout(WAIT_MAX, waiting).await.map(|found| found.map(|_| ()));
        waited.unwrap_or_else(|_| panic!("{what}: {:#?}", self.received())).expect("it runs");
    }

    /// Waits for so many requests more.
    pub async fn wait_for_more(&self, count: usize) {
        let before = self.shared.received.borrow().len();
        self.wait_until("further requests", |received| received.len() >= before + count).await;
    }
}

impl Drop for CloudWatchReceiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl SentMetric {
    /// The sum of its values, as the statistic Sum has it.
    pub fn sum(&self) -> f64 {
        let of_values = self.values.iter().map(|(value, count)| value * count).sum::<f64>();
        self.statistics.map_or(of_values, |[_, sum, ..]| sum)
    }

    /// The number of its values, as the statistic SampleCount has it.
    pub fn sample_count(&self) -> f64 {
        let of_values = self.values.iter().map(|(_, count)| count).sum::<f64>();
        self.statistics.map_or(of_values, |[count, ..]| count)
    }

    fn of(datum: &Value) -> Self {
        let numbers = |field| array(datum, field).iter().map(number).collect::<Vec<_>>();
        let (values, counts) = (numbers("Values"), numbers("Counts"));
        let statistics = field(datum, "StatisticValues").map(|statistics| {
            ["SampleCount", "Sum", "Minimum", "Maximum"]
                .map(|name| number(field(statistics, name).expect("a statistic")))
        });
        let value = field(datum, "Value").map(number);
        assert_eq!(values.len(), counts.len(), "{datum:?}");
        assert!(values.len() <= VALUES_MAX && counts.iter().all(|count| *count > 0.0), "{datum:?}");
        let kinds = [value.is_some(), statistics.is_some(), !values.is_empty()];
        assert_eq!(kinds.iter().filter(|is_there| **is_there).count(), 1, "{datum:?}");
        let dimensions = array(datum, "Dimensions");
        assert!(dimensions.len() <= 30, "{datum:?}");
        let dimensions =
            dimensions.iter().map(|dimension| (text(dimension, "Name"), text(dimension, "Value")));
        let timestamp = field(datum, "Timestamp").and_then(Value::as_tag).expect("a time");
        assert_eq!(timestamp.0, 1, "seconds since 1970");
        Self {
            name: text(datum, "MetricName"),
            dimensions: dimensions.collect(),
            timestamp: number(timestamp.1),
            unit: field(datum, "Unit").map(|unit| unit.as_text().expect("text").to_owned()),
            resolution: field(datum, "StorageResolution")
                .map(|resolution| resolution.as_integer().expect("a number").into()),
            values: value
                .map_or_else(|| values.into_iter().zip(counts).collect(), |value| vec![(value, 1.0)]),
            statistics,
        }
    }
}

fn field<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    let entries = map.as_map().expect("a map");
    entries.iter().find_map(|(key, value)| (key.as_text() == Some(name)).then_some(value))
}

fn array<'v>(map: &'v Value, name: &str) -> &'v [Value] {
    field(map, name).map_or(&[], |values| values.as_array().expect("an array"))
}

fn text(map: &Value, name: &str) -> String {
    field(map, name).and_then(Value::as_text).expect("text").to_owned()
}

fn number(value: &Value) -> f64 {
    let integer = value.as_integer().map(|integer| i128::from(integer) as f64);
    integer.or_else(|| value.as_float()).expect("a number")
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| receive(Arc::clone(&shared), request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn receive(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = Instant::now();
    let (head, body) = read(request).await.expect("a whole body");
    assert_eq!((&head.method, head.uri.path()), (&Method::POST, PATH));
    assert_eq!(header(&head.headers, "smithy-protocol"), "rpc-v2-cbor");
    assert_eq!(header(&head.headers, "content-type"), "application/cbor");
    assert!(body.len() <= BYTES_MAX, "{} bytes", body.len());
    let input: Value = ciborium::from_reader(body.as_slice()).expect("CBOR");
    let data = array(&input, "MetricData");
    assert!((1..=METRICS_MAX).contains(&data.len()), "{} metrics", data.len());
    let mut answers = shared.answer.subscribe();
    let answer = answers.borrow().clone();
    let was_accepted = matches!(answer, Answer::Accepted | Answer::AcceptedAfter(_));
    let received = PutMetrics {
        at,
        headers: head.headers,
        namespace: text(&input, "Namespace"),
        data: data.iter().map(SentMetric::of).collect(),
        was_accepted,
    };
    shared.received.send_modify(|all| all.push(received));
    match answer {
        Answer::AcceptedAfter(time) => sleep(time).await,
        Answer::Nothing => {
            let changed = answers.wait_for(|answer| *answer != Answer::Nothing).await;
            let _the_next_one = changed.expect("it runs");
        }
        Answer::Accepted | Answer::Refused(..) => {}
    }
    Ok(response(&answer))
}

fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let (status, fields) = match answer {
        Answer::Refused(status, code) => {
            let fields = [("__type", *code), ("message", "as the test says")];
            (*status, fields.map(|(name, value)| (Value::from(name), Value::from(value))).to_vec())
        }
        Answer::Accepted | Answer::AcceptedAfter(_) | Answer::Nothing => (200, Vec::new()),
    };
    let mut body = Vec::new();
    ciborium::into_writer(&Value::Map(fields), &mut body).expect("a vector takes everything");
    Response::builder()
        .status(status)
        .header("smithy-protocol", "rpc-v2-cbor")
        .header("content-type", "application/cbor")
        .body(Full::new(body.into()))
        .expect("a response")
}

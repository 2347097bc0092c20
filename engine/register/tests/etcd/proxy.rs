//! A line to etcd that loses answers when it is told to.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Connections to its port go on to etcd.
pub struct Proxy {
    port: u16,
    losing: Arc<AtomicBool>,
    lost: Receiver<()>,
}

impl Proxy {
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let losing = Arc::new(AtomicBool::new(false));
        let (tell, lost) = channel();
        let lose = losing.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let server = TcpStream::connect(("127.0.0.1", to)).expect("etcd is there");
                let (requests, answers) =
                    (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let (lose, tell) = (lose.clone(), tell.clone());
                thread::spawn(move || carry(requests, server, None));
                thread::spawn(move || carry(answers, client, Some((lose, tell))));
            }
        });
        Self { port, losing, lost }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn lose_answers(&self, losing: bool) {
        self.losing.store(losing, Ordering::SeqCst);
    }

    pub fn wait_for_a_lost_answer(&self) {
        self.lost.recv().expect("the proxy lives");
    }
}

/// Carries what comes from one to the other until the end.
fn carry(mut from: TcpStream, mut to: TcpStream, loss: Option<(Arc<AtomicBool>, Sender<()>)>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        match &loss {
            Some((losing, tell)) if losing.load(Ordering::SeqCst) => {
                let _ = tell.send(());
            }
            _ if to.write_all(&bytes[..count]).is_err() => break,
            _ => {}
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

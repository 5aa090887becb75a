//! Telling systemd how the service stands: one datagram to the socket that it names.
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;

use crate::context::Context;

/// Everything is deployed: what depends on the service may start.
pub(super) fn ready(context: &Context) {
    tell(context, "READY=1");
}

/// It is about to end.
pub(super) fn stopping(context: &Context) {
    tell(context, "STOPPING=1");
}

fn tell(context: &Context, word: &str) {
    let Some(name) = &context.environment.notify_socket else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| send(&socket, name.as_bytes(), word));
    if let Err(error) = sent {
        context.output.warn(&format!("systemd could not be told {word}: {error}"));
    }
}

/// A name that begins with an at sign is one of the abstract namespace, which only Linux has.
fn send(socket: &UnixDatagram, name: &[u8], word: &str) -> std::io::Result<usize> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(word.as_bytes(), &address);
    }
    socket.send_to(word.as_bytes(), std::path::Path::new(std::ffi::OsStr::from_bytes(name)))
}

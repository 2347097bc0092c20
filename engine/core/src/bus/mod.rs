//! The bus: from client packets to one sequenced stream, and back to receivers.

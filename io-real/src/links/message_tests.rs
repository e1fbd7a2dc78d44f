use super::{Attributes, Message};
use quickcheck::quickcheck;
use rtnetlink::packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};

/// What comes of a message that is sent and received.
fn travelled(message: &Message) -> Message {
    let mut bytes = vec![0xff; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut header = NetlinkHeader::default();
    (header.message_type, header.flags) = (message.message_type(), message.flags);
    let Ok(received) = Message::deserialize(&header, &bytes);
    received
}

quickcheck! {
    /// What is put is found again, in its order, whatever the lengths.
    fn attributes_come_back(values: Vec<(u16, Vec<u8>)>, fixed: Vec<u8>) -> bool {
        let values: Vec<_> = values.into_iter().map(|(kind, value)| (kind & 0x3fff, value)).collect();
        let mut message = Message::new(24, 1, &fixed);
        for (kind, value) in &values {
            message.put(*kind, value);
        }
        let received = travelled(&message);
        let found: Vec<_> = received.attributes(fixed.len()).map(|(kind, value)| (kind, value.to_vec())).collect();
        received == message && found == values
    }

    /// Bytes that are no attributes are read without a panic and without an end that never comes.
    fn any_bytes_can_be_read(bytes: Vec<u8>) -> bool {
        let Ok(message) = Message::deserialize(&NetlinkHeader::default(), &bytes);
        message.attributes(4).count() <= bytes.len() && Attributes(&bytes).count() <= bytes.len()
    }
}

#[test]
fn nested_attributes_are_found_inside() {
    let mut message = Message::new(16, 0, &[0; 16]);
    message.nest(18, |info| {
        info.put_text(1, "vxlan");
        info.nest(2, |data| data.put_be32(1, 7));
    });
    message.put_text(3, "after");
    let received = travelled(&message);
    let attributes = received.attributes(16);
    assert_eq!(attributes.inside(18).text(1).as_deref(), Some("vxlan"));
    assert_eq!(attributes.inside(18).inside(2).be32(1), Some(7));
    assert_eq!(attributes.text(3).as_deref(), Some("after"));
    assert_eq!(attributes.find(4), None);
}

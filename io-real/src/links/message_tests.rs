use super::{Attributes, Message, messages};
use quickcheck::quickcheck;

quickcheck! {
    /// What is put is found again, in its order, whatever the lengths.
    fn attributes_come_back(values: Vec<(u16, Vec<u8>)>, fixed: Vec<u8>, sequence: u32) -> bool {
        let values: Vec<_> = values.into_iter().map(|(kind, value)| (kind & 0x3fff, value)).collect();
        let mut message = Message::new(24, 0, &fixed);
        for (kind, value) in &values {
            message.put(*kind, value);
        }
        let [received] = &messages(message.sealed(sequence))[..] else {
            return false;
        };
        let found: Vec<_> = received.attributes(fixed.len()).map(|(kind, value)| (kind, value.to_vec())).collect();
        received.kind == 24 && received.sequence == sequence && found == values
    }

    /// Bytes that are no messages are read without a panic and without an end that never comes.
    fn any_bytes_can_be_read(bytes: Vec<u8>) -> bool {
        messages(&bytes).iter().all(|message| message.attributes(4).count() <= bytes.len())
            && Attributes(&bytes).count() <= bytes.len()
    }
}

#[test]
fn nested_attributes_are_found_inside() {
    let mut message = Message::new(16, 0, &[0; 16]);
    message.nest(18, |info| {
        info.put_text(1, "vxlan");
        info.nest(2, |data| data.put_u32(1, 7));
    });
    message.put_text(3, "after");
    let [received] = &messages(message.sealed(1))[..] else { panic!("one message") };
    let attributes = received.attributes(16);
    assert_eq!(attributes.inside(18).text(1).as_deref(), Some("vxlan"));
    assert_eq!(attributes.inside(18).inside(2).number(1), Some(7));
    assert_eq!(attributes.text(3).as_deref(), Some("after"));
    assert_eq!(attributes.find(4), None);
}

//! The protobuf codec, with small buffers.
//!
//! tonic gives every call two buffers, and by default makes them 8 KiB each at once. Most messages here have a few hundred
//! bytes and a member may hold ten thousands of open watch streams, so ours start small and grow when they must.

use prost::Message;
use std::marker::PhantomData;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Bytes that a buffer starts with, and grows by.
const BUFFER_BYTES: usize = 512;

/// Encoded bytes beyond which a stream hands over what it has before it encodes the next message.
const YIELD_BYTES: usize = 32 * 1024;

/// Encodes `T`, decodes `U`.
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}

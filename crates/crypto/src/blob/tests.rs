use super::*;
use crate::fixtures::{each_bit_flipped, fixed, hex, keyring, region, secret_key};
use proptest::prelude::*;

struct World {
    keyring: Keyring,
    region: RegionName,
    key_id: KeyId,
    material_id: MaterialId,
    wrapped: WrappedKey,
}

fn key_id(multi_region: bool) -> KeyId {
    KeyId::from_parts(*KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap().as_bytes(), multi_region)
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).unwrap()
}

impl World {
    fn new() -> Self {
        Self::of(key_id(false))
    }

    fn of(key_id: KeyId) -> Self {
        let (keyring, region) = (keyring(), region("eu-central-1"));
        let (material_id, wrapped) = keyring.generate_symmetric(&region, &key_id).unwrap();
        Self { keyring, region, key_id, material_id, wrapped }
    }

    fn encrypt(&self, context: &EncryptionContext, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let key =
            SymmetricKey { key_id: &self.key_id, material_id: &self.material_id, wrapped: &self.wrapped };
        self.keyring.encrypt(&self.region, &key, context, plaintext)
    }

    fn decrypt(
        &self,
        context: &EncryptionContext,
        blob: &[u8],
    ) -> Result<(Plaintext, MaterialId), DecryptError> {
        let blob = Blob::parse(blob).map_err(|_| DecryptError::Invalid)?;
        self.keyring.decrypt(&self.region, &self.key_id, [(&self.material_id, &self.wrapped)], &blob, context)
    }
}

fn refusal(result: Result<(Plaintext, MaterialId), DecryptError>) -> DecryptError {
    result.map(|_| ()).unwrap_err()
}

#[test]
fn every_flipped_bit_is_refused() {
    let world = World::new();
    let context = context(&[("a", "b")]);
    let blob = world.encrypt(&context, b"plaintext").unwrap();
    each_bit_flipped(&blob, |altered| {
        assert_eq!(refusal(world.decrypt(&context, altered)), DecryptError::Invalid);
    });
    let (plaintext, material_id) = world.decrypt(&context, &blob).unwrap();
    assert_eq!((plaintext.expose(), material_id), (&b"plaintext"[..], world.material_id));
}

#[test]
fn every_flipped_bit_of_a_multi_region_blob_is_refused() {
    let world = World::of(key_id(true));
    let blob = world.encrypt(&context(&[]), b"plaintext").unwrap();
    assert_eq!(blob[2], 1);
    each_bit_flipped(&blob, |altered| assert!(world.decrypt(&context(&[]), altered).is_err()));
    assert!(world.decrypt(&context(&[]), &blob).is_ok());
}

#[test]
fn another_context_is_refused() {
    let world = World::new();
    let blob = world.encrypt(&context(&[("ab", "c")]), b"plaintext").unwrap();
    for other in
        [&[][..], &[("a", "bc")], &[("ab", "C")], &[("ab", "c"), ("d", "")], &[("abc", "")], &[("AB", "c")]]
    {
        assert_eq!(refusal(world.decrypt(&context(other), &blob)), DecryptError::Invalid, "{other:?}");
    }
    assert!(world.decrypt(&context(&[("ab", "c")]), &blob).is_ok());
}

#[test]
fn another_key_is_refused() {
    let world = World::new();
    let blob = world.encrypt(&context(&[]), b"plaintext").unwrap();
    for key_id in [KeyId::from_parts([9; 16], false), key_id(true)] {
        let mut other = World::of(key_id);
        assert_eq!(refusal(other.decrypt(&context(&[]), &blob)), DecryptError::Invalid);
        // Nor with the right material's id on the wrong material.
        other.key_id = world.key_id;
        other.material_id = world.material_id;
        assert!(matches!(
            refusal(other.decrypt(&context(&[]), &blob)),
            DecryptError::MaterialUnavailable { source: CryptoError::NotAuthentic { .. }, .. }
        ));
    }
    assert!(world.decrypt(&context(&[]), &blob).is_ok());
}

#[test]
fn another_material_of_the_same_key_is_refused() {
    let world = World::new();
    let blob = world.encrypt(&context(&[]), b"plaintext").unwrap();
    let mut other = World::new();
    assert_eq!(refusal(other.decrypt(&context(&[]), &blob)), DecryptError::Invalid);
    // The commitment refuses it even under the right id.
    other.material_id = world.material_id;
    assert_eq!(refusal(other.decrypt(&context(&[]), &blob)), DecryptError::Invalid);
}

#[test]
fn an_id_that_shares_only_the_tag_is_refused() {
    let mut world = World::new();
    let blob = world.encrypt(&context(&[]), b"plaintext").unwrap();
    let mut id = *world.material_id.as_bytes();
    id[31] ^= 1;
    world.material_id = MaterialId::from_bytes(id);
    assert_eq!(refusal(world.decrypt(&context(&[]), &blob)), DecryptError::Invalid);
}

#[test]
fn the_tag_is_a_hint_and_every_material_that_has_it_is_tried() {
    let world = World::new();
    let blob_bytes = world.encrypt(&context(&[]), b"plaintext").unwrap();
    let blob = Blob::parse(&blob_bytes).unwrap();
    let mut twin_id = *world.material_id.as_bytes();
    twin_id[31] ^= 1;
    let twin_id = MaterialId::from_bytes(twin_id);
    let (_, twin) = world.keyring.generate_symmetric(&world.region, &world.key_id).unwrap();
    let broken = WrappedKey::from_bytes(b"broken").unwrap();
    let (other_id, other) = world.keyring.generate_symmetric(&world.region, &world.key_id).unwrap();
    let decrypt = |candidates: &[(&MaterialId, &WrappedKey)]| {
        world.keyring.decrypt(&world.region, &world.key_id, candidates.iter().copied(), &blob, &context(&[]))
    };
    assert_eq!(refusal(decrypt(&[])), DecryptError::Invalid);
    assert_eq!(refusal(decrypt(&[(&other_id, &other), (&twin_id, &twin)])), DecryptError::Invalid);
    // A material that the blob does not name is not touched: its damage is no news here.
    assert_eq!(refusal(decrypt(&[(&other_id, &broken)])), DecryptError::Invalid);
    let source = CryptoError::Malformed { what: "wrapped key" };
    let unavailable = DecryptError::MaterialUnavailable { material_id: twin_id, source };
    assert_eq!(refusal(decrypt(&[(&twin_id, &broken), (&other_id, &other)])), unavailable);
    let mine = (&world.material_id, &world.wrapped);
    for candidates in [[(&twin_id, &twin), mine], [(&twin_id, &broken), mine], [mine, (&twin_id, &broken)]] {
        assert_eq!(decrypt(&candidates).unwrap().1, world.material_id);
    }
}

#[test]
fn members_of_a_multi_region_key_open_each_others_blobs() {
    let world = World::of(key_id(true));
    let blob = world.encrypt(&context(&[]), b"plaintext").unwrap();
    // The same material, wrapped for another region.
    let us = region("us-east-1");
    let secret =
        world.keyring.unwrap_material(&world.region, &world.key_id, world.wrapped.as_bytes()).unwrap();
    let wrapped = world.keyring.wrap_material(&us, &world.key_id, &secret).unwrap();
    let replica = World { keyring: keyring(), region: us, wrapped, ..world };
    assert_eq!(replica.decrypt(&context(&[]), &blob).unwrap().0.expose(), b"plaintext");
}

#[test]
fn what_is_no_blob_is_refused_with_its_reason() {
    let world = World::new();
    let blob = world.encrypt(&context(&[]), b"").unwrap();
    assert_eq!(blob.len(), BLOB_OVERHEAD_BYTES);
    let parse = |bytes: &[u8]| Blob::parse(bytes).map(|_| ());
    for length in 0..blob.len() {
        assert_eq!(parse(&blob[..length]), Err(BlobError::TooShort), "{length} bytes");
    }
    for (at, value, error) in [
        (0, 0, BlobError::UnknownVersion),
        (0, 2, BlobError::UnknownVersion),
        (1, 0, BlobError::UnknownSuite),
        (1, 2, BlobError::UnknownSuite),
        (2, 2, BlobError::UnknownFlag),
        (2, 3, BlobError::UnknownFlag),
        (2, 0x80, BlobError::UnknownFlag),
    ] {
        let mut altered = blob.clone();
        altered[at] = value;
        assert_eq!(parse(&altered), Err(error));
    }
    assert_eq!(parse(&[2]), Err(BlobError::UnknownVersion));
    assert_eq!(parse(&blob), Ok(()));
}

#[test]
fn one_byte_past_the_limits_is_refused() {
    let world = World::new();
    let too_large = CryptoError::TooLarge { max_bytes: 4096, what: "plaintext" };
    assert_eq!(world.encrypt(&context(&[]), &[7; PLAINTEXT_BYTES_MAX + 1]).unwrap_err(), too_large);
    let blob = world.encrypt(&context(&[]), &[7; PLAINTEXT_BYTES_MAX]).unwrap();
    assert_eq!((blob.len(), blob.capacity()), (4096 + 119, 4096 + 119));
    assert_eq!(world.decrypt(&context(&[]), &blob).unwrap().0.expose(), [7; 4096]);

    let mut longest = blob;
    longest.resize(CIPHERTEXT_BYTES_MAX, 0);
    assert!(Blob::parse(&longest).is_ok());
    longest.push(0);
    assert_eq!(Blob::parse(&longest).map(|_| ()), Err(BlobError::TooLong));
}

#[test]
fn a_blob_names_its_key_and_material() {
    for world in [World::new(), World::of(key_id(true))] {
        let bytes = world.encrypt(&context(&[]), b"plaintext").unwrap();
        let blob = Blob::parse(&bytes).unwrap();
        assert_eq!((blob.key_id(), blob.material_tag()), (world.key_id, world.material_id.tag()));
        assert_eq!(format!("{blob:?}"), format!("Blob({}, 128 bytes)", world.key_id));
    }
}

#[test]
fn the_same_plaintext_never_gives_the_same_blob() {
    let world = World::new();
    let (a, b) = (world.encrypt(&context(&[]), b"x").unwrap(), world.encrypt(&context(&[]), b"x").unwrap());
    assert_ne!(a[27..], b[27..]);
    assert_eq!(a[..27], b[..27]);
}

/// Computed with the Python package `cryptography`: `KBKDFHMAC` for key and commitment, `AESGCM(key).encrypt(nonce,
/// plaintext, aad)`.
#[test]
fn golden_blobs() {
    let material = KeyMaterial::Symmetric(secret_key(0x51));
    let material_id = MaterialId::from_bytes([0x3e; 32]);
    for (multi_region, pairs, golden) in [
        (
            false,
            &[("purpose", "test"), ("Ärger", "ß")][..],
            "0101001234abcd12ab34cd56ef1234567890ab3e3e3e3e3e3e3e3ea0a1a2a3a4a5a6a7a8a9aaabac\
             adaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf108c9d508b5abd3d5e6bb8f676d678970ceca5b431\
             af7a435dfba2225c51a6e1c0c1c2c3c4c5c6c7c8c9cacba1cfd99ce10b1b0227b585b98d8bd8b0fe\
             4e8010b3a174279676e05f33c2",
        ),
        (
            true,
            &[],
            "0101011234abcd12ab34cd56ef1234567890ab3e3e3e3e3e3e3e3ea0a1a2a3a4a5a6a7a8a9aaabac\
             adaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf108c9d508b5abd3d5e6bb8f676d678970ceca5b431\
             af7a435dfba2225c51a6e1c0c1c2c3c4c5c6c7c8c9cacba1cfd99ce10b1b0227b585b98d8b01b307\
             f2db2eac52652cb6971859185d",
        ),
    ] {
        let (key_id, context) = (key_id(multi_region), context(pairs));
        let bytes = seal(&material, &key_id, &material_id, &context, b"attack at dawn", &fixed()).unwrap();
        assert_eq!(bytes, hex(golden));
        let blob = Blob::parse(&bytes).unwrap();
        let plaintext = open(&material, &material_id, &context, &blob).unwrap();
        assert_eq!(plaintext.expose(), b"attack at dawn");
    }
}

proptest! {
    #[test]
    fn blobs_round_trip(
        plaintext in proptest::collection::vec(any::<u8>(), 0..=4096),
        pairs in proptest::collection::btree_map(".{0,20}", ".{0,20}", 0..8),
        multi_region: bool,
    ) {
        let world = World::of(key_id(multi_region));
        let context = EncryptionContext::new(pairs.into_iter().collect()).unwrap();
        let blob = world.encrypt(&context, &plaintext).unwrap();
        prop_assert_eq!(blob.len(), plaintext.len() + BLOB_OVERHEAD_BYTES);
        let (opened, _) = world.decrypt(&context, &blob).unwrap();
        prop_assert_eq!(opened.expose(), plaintext.as_slice());
    }

    #[test]
    fn arbitrary_bytes_do_not_decrypt(bytes: Vec<u8>, prefixed in proptest::collection::vec(any::<u8>(), 116..200)) {
        let world = World::new();
        prop_assert!(world.decrypt(&context(&[]), &bytes).is_err());
        prop_assert!(world.decrypt(&context(&[]), &[&[1, 1, 0][..], &prefixed].concat()).is_err());
    }
}

use super::*;

fn refused(form: &str) -> (ErrorKind, String) {
    let error = StsOperation::from_form(form.as_bytes()).unwrap_err();
    (error.kind, error.message.unwrap())
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_names_no_operation_of_this_version_is_refused() {
    for (form, message) in [
        ("", "The request names no operation."),
        ("Version=2011-06-15", "The request names no operation."),
        (
            "Action=GetCallerIdentity",
            "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED",
        ),
        (
            "Action=GetCallerIdentity&Version=2010-05-08",
            "Could not find operation GetCallerIdentity for version 2010-05-08",
        ),
        (
            "Action=AssumeRole&Version=2011-06-15",
            "Could not find operation AssumeRole for version 2011-06-15",
        ),
        (
            "Action=getcalleridentity&Version=2011-06-15",
            "Could not find operation getcalleridentity for version 2011-06-15",
        ),
        ("Action=a%26b+c&Version=1", "Could not find operation a&b c for version 1"),
    ] {
        assert_eq!(refused(form), (ErrorKind::UnknownOperation, message.to_owned()), "{form}");
    }
}

#[test]
fn a_form_with_two_readings_is_refused() {
    for form in [
        "Action=GetCallerIdentity&Action=GetCallerIdentity&Version=2011-06-15",
        "Action=GetCallerIdentity&Version=2011-06-15&%56ersion=2011-06-15",
        "Action=GetCallerIdentity%&Version=2011-06-15",
        "Action=GetCallerIdentity%4&Version=2011-06-15",
        "Action=GetCallerIdentity%zz&Version=2011-06-15",
        "Action=%ff&Version=2011-06-15",
    ] {
        assert_eq!(refused(form).0, ErrorKind::Validation, "{form}");
    }
}

#[test]
fn parameters_past_the_limit_are_refused() {
    let form = |count| {
        let rest = "x=1&".repeat(count - 2);
        format!("{rest}Action=GetCallerIdentity&Version=2011-06-15")
    };
    assert_eq!(refused(&form(REQUEST_QUERY_PARAMETERS_MAX + 1)).0, ErrorKind::Validation);
    let named = StsOperation::from_form(form(REQUEST_QUERY_PARAMETERS_MAX).as_bytes());
    assert_eq!(named, Ok(StsOperation::GetCallerIdentity));
}

#[test]
fn the_echo_is_cut_one_past_its_limit() {
    for (length, kept) in [
        (SIGNATURE_ECHO_CHARACTERS_MAX, SIGNATURE_ECHO_CHARACTERS_MAX),
        (5000, SIGNATURE_ECHO_CHARACTERS_MAX),
    ] {
        let (_, message) = refused(&format!("Action={}&Version=1", "x".repeat(length)));
        assert_eq!(message.matches('x').count(), kept);
    }
}

#[test]
fn errors_have_the_codes_of_the_query_protocol() {
    let error = WireError::new(ErrorKind::InvalidSignature, "a <b> & 'c'\u{1}");
    assert_eq!(
        text(|out| encode_query_error(QueryFormat::Xml, &error, "id", out)),
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>Sender</Type>\n    \
         <Code>SignatureDoesNotMatch</Code>\n    <Message>a &lt;b&gt; &amp; &apos;c&apos;\u{fffd}</Message>\n  \
         </Error>\n  <RequestId>id</RequestId>\n</ErrorResponse>\n"
    );
    let error = WireError::new(ErrorKind::KmsInternal, "\"");
    assert_eq!(
        text(|out| encode_query_error(QueryFormat::Json, &error, "id", out)),
        r#"{"Error":{"Code":"InternalFailure","Message":"\"","Type":"Receiver"},"RequestId":"id"}"#
    );
}

#[test]
fn a_reply_is_written_as_aws_writes_it() {
    let reply = GetCallerIdentityReply {
        account: "111122223333".into(),
        arn: "arn:aws:iam::111122223333:root".into(),
        user_id: "111122223333".into(),
    };
    assert_eq!(
        text(|out| encode_query_reply(QueryFormat::Xml, "GetCallerIdentity", "id", &reply, out)),
        r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:iam::111122223333:root</Arn>
    <UserId>111122223333</UserId>
    <Account>111122223333</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>id</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
"#
    );
    assert_eq!(
        text(|out| encode_query_reply(QueryFormat::Json, "GetCallerIdentity", "id", &reply, out)),
        concat!(
            r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333","#,
            r#""Arn":"arn:aws:iam::111122223333:root","UserId":"111122223333"},"ResponseMetadata":{"RequestId":"id"}}}"#
        )
    );
}

"""The vocabulary by which a name is judged: words of secrets, of training, and of what merely describes a secret."""

# ruff: noqa: SIM905  words in a text are easier to read and to sort than quoted ones

PASSWORDS = frozenset(
    """password passwords passwd passphrase passphrases passcode passcodes passkey passkeys pwd pwds secret secrets
    credential credentials cred creds passwort kennwort contrasena contraseña senha wachtwoord motdepasse пароль
    密码 密碼 パスワード 비밀번호""".split()
)
"""Secret wherever they stand in a name, unless a word of ATTRIBUTES follows; everything below such a name is
hidden."""

HEADS = frozenset(
    """jwt jwts bearer otp otps totp csrf xsrf apikey apikeys authorization netrc sshkey privatekey secretkey
    accesskey""".split()
)
"""Secret as the last word of a name, numbers too."""

TEXT_HEADS = frozenset(
    "sas auth oauth authn authentication cookie cookies dsn dsns webhook webhooks pkey mnemonic keytab".split()
)
"""Secret as the last word of a name, but numbers are not: ``cookies: 3`` counts them."""

PHRASES = frozenset(
    """webhook_url webhook_urls webhook_uri hook_url webhook_address webhook_endpoint recovery_code recovery_codes
    backup_code backup_codes otp_code mfa_code totp_code auth_code authorization_code verification_code security_code
    connection_string connection_strings connect_string connect_strings connection_str conn_string conn_strings
    conn_str ssh_private
    pin_code seed_phrase recovery_phrase mnemonic_phrase wallet_phrase secret_phrase user_pin card_pin sim_pin
    account_pin pass_phrase pass_word pass_code pass_wd access_signature amz_signature goog_signature
    shared_signature otp_seed totp_seed""".split()
)
"""Secret as the last two words of a name."""

ATTRIBUTES = frozenset(
    """length len size min max minimum maximum count counts num number path paths file files filename dir directory
    folder field fields column columns policy required requires enabled disabled type types kind strength regex
    pattern
    prompt hint attempts attempt tries expiry expires expiration ttl timeout age rotation manager store backend
    provider
    scheme algorithm algo method mode url uri urls endpoint server host port env variable var name names reset changed
    at free less sharing scanning scanner santa dataset corpus cracking guessing model vocab classifier detector
    detection leak leaks loss accuracy score rate ratio entropy rounds iterations version id_file format charset
    alphabet rule rules template location command eval namespace layer dim ary""".split()
)
"""What describes a secret and is none: ``password_length``, ``secret_name``, ``credentials_path``."""

TAILS = frozenset(
    """value values val str string raw plain plaintext encoded encrypted hash hashed prod production dev development
    staging live sandbox test old new current previous default backup secondary write read rw ro header headers
    confirm
    confirmation again repeat pem""".split()
)
"""Words that may follow a secret's name and change nothing: ``token_value``, ``api_key_prod``."""

COUNTS = frozenset(
    """num n number max min total mean avg average per no has is show ask require requires without forgot reset skip
    count counted""".split()
)
"""What makes a name a number or a flag when it begins with it: ``num_tokens``, ``no_password``."""

PROVIDERS = frozenset(
    """wandb openai anthropic claude hf huggingface hub aws azure gcp google gcs gemini vertex cohere mistral groq
    together togetherai replicate neptune comet clearml mlflow sentry stripe twilio sendgrid mailgun datadog dd
    newrelic
    pinecone qdrant weaviate langchain langsmith langfuse serpapi serper tavily deepseek openrouter perplexity pplx
    fireworks nvidia ngc runpod modal lambda vast github gitlab bitbucket gh docker dockerhub kaggle roboflow labelbox
    slack discord telegram teams jira confluence notion linear figma shopify paypal square heroku netlify vercel
    cloudflare digitalocean linode npm pypi cargo rubygems nuget artifactory nexus vault consul doppler snowflake
    databricks elastic elasticsearch algolia mapbox okta firebase supabase planetscale grafana prometheus pagerduty
    opsgenie sonar sonarqube circleci travis jenkins buildkite terraform pulumi kubernetes kube tailscale ngrok
    lightning polyaxon dagshub determined anyscale quark prefect dagster airflow zenml aim swanlab voyage jina
    elevenlabs assemblyai deepgram stability ideogram reka writer cerebras sambanova alibaba dashscope baidu zhipu
    moonshot minio git""".split()
)
"""Services whose keys and tokens are secrets."""

KEY_TEXT = frozenset(
    "user account session client app application service storage server admin team write bot shared".split()
)
"""Before ``key``: secret when it holds text; ``user_key: 5`` is a number of a row."""

KEYS = PROVIDERS | frozenset(
    """api apis access secret private auth oauth encryption encrypt decrypt decryption signing sign signature ssh rsa
    dsa
    ecdsa ed pgp gpg aes hmac master license licence sas deploy deployment consumer subscription jwt tls ssl https ca
    cert certificate crypto cipher cookie webhook registration integration instrumentation ingest ingestion
    secretaccess login rest pair wireguard wg merchant""".split()
)
"""Before ``key``: secret. A bare key, and a sort, cache, monitor or metric key, is none."""

TOKENS = PROVIDERS | frozenset(
    """api access auth oauth refresh session user admin bearer personal secret private jwt csrf xsrf login security
    service bot app client deploy deployment push webhook verification invite identity sas tracking upload download
    registry server account write ci runner tenant root master owner team org organization workspace email web http
    https ssh vpn proxy sso saml oidc""".split()
)
"""Before ``token``: secret, numbers too."""

TRAINING = frozenset(
    """pad padding eos bos cls sep mask unk unknown special start end stop prompt completion input inputs output
    outputs
    next prev last first batch memory mem register class use added additional extra vocab vision visual video image
    img
    audio text word words sub subword char byte bpe decoder encoder forced bad banned suppress generated context query
    latent latents learnable dist distill distillation patch cond time timestep task action state object soft prefix
    suffix infix middle fim think thinking tool role system assistant human placeholder initializer modifier ignored
    dropped masked unique warmup reserved blank space newline eot eod eop eom sos eoi boi im pos cached reasoning
    budget
    draft speculative target source src tgt lang language speaker global local rare sink kv seq sequence chunk block
    window router expert embed embeds embedding embeddings mlp train training val valid eval seen processed consumed
    instance spatial temporal semantic acoustic codec image_start speech phoneme separator delimiter begin begin
    beginning terminator trigger concept style grid point latency throughput per gt pred predicted label labels hidden
    merged pruned kept dense sparse shared_expert pooled readout""".split()
)
"""Before ``token``: a token of a vocabulary or a model."""

PASS = PROVIDERS | frozenset(
    """db database user usr root admin my sql mysql mariadb pg postgres postgresql mongo mongodb redis rabbit
    rabbitmq amqp
    mqtt kafka smtp imap pop ftp sftp ssh ldap mail email http https proxy login wifi wlan registry service account
    key
    keystore truststore store cert bind broker server client remote host vnc rdp sudo unix linux windows auth basic
    app
    rest web repo repository archive zip rediscli smb""".split()
)
"""Before ``pass``, ``pw`` and ``auth``, also without a separator: ``db_pass``, ``rootpw``."""

ENGLISH = frozenset(
    "bypass compass overpass surpass trespass encompass underpass monkey hotkey turkey donkey hockey keyframe".split()
)
"""Words that end like a secret and are none; here so that a change of the lists above cannot catch them."""

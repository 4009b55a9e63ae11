"""Names that say that what they hold is secret, and names that only sound alike."""

from quark.redaction import HIDDEN, is_secret_name, redact

SECRET = """
    password Password PASSWORD password1 password_2 passwords passwd db_passwd passphrase passPhrase pass_word pwd
    MYSQL_PWD PGPASSWORD db_password dbPassword DBPASSWORD rootpassword root.password root-password user_password_hash
    password_prod password_for_db password_confirmation new_password old_password2 smtp_pass db_pass DB_PASS user_pass
    userpass dbpass PGPASS SSHPASS email_pass proxyPass mqtt_pw rootpw pass passcode passkey passwort contraseña senha
    пароль 密码 secret secrets SECRET_KEY secret_key secretkey secretKey client_secret clientSecret ClientSecret
    CLIENT-SECRET app_secret aws_secret aws_secret_access_key AWS_SECRET_ACCESS_KEY awsSecretAccessKey
    awssecretaccesskey secret_id shared_secret webhook_secret jwt_secret secret1 SECRET_PROD secret_value secretValue
    credential credentials creds aws_creds cred google_credentials googleCredentials kaggle.credentials
    credentials.user login.password.value secrets.openai token Token TOKEN token2 tokens auth_token authToken
    _authToken auth-token access_token accessToken accesstoken ACCESS_TOKEN refresh_token refreshToken id_token
    bearer_token user_token userToken usertoken session_token sessionToken aws_session_token admin_token bot_token
    slack_bot_token app_token hf_token HF_TOKEN hfToken HFToken HUGGINGFACE_TOKEN huggingface_token
    HUGGING_FACE_HUB_TOKEN hub_token push_to_hub_token use_auth_token npm_token NPM_TOKEN wandb_token
    NEPTUNE_API_TOKEN neptune_api_token mlflow_tracking_token MLFLOW_TRACKING_TOKEN personal_access_token
    github_token GitHubToken GITHUB_TOKEN gh_token gitlab_token ci_job_token openai_token my_token token_prod
    token_github tokenValue csrf_token xsrf_token sas_token vault_token trainer.token hydra.env.HF_TOKEN
    logger.neptune_api_token dagshub_token clearml_token replicate_api_token registry_token deploy_token
    api_key apiKey ApiKey APIKey APIKEY apikey api-key api.key API_KEY_2 api_keys apikeys x-api-key X-Api-Key
    X-Quark-API-Key openai_api_key OPENAI_API_KEY openaiApiKey openai_key anthropic_api_key wandb_api_key wandb_key
    WANDB_API_KEY wandbKey wandb.key comet_api_key HF_KEY access_key accessKey access_key_id AWS_ACCESS_KEY_ID
    private_key privateKey ssh_key ssh_private_key rsa_key signing_key encryption_key encryptionKey master_key
    account_key AccountKey storage_key storage_account_key subscription_key Ocp-Apim-Subscription-Key license_key
    user_key user-key service_key deploy_key session_key hmac_key shared_key client_key tls_key jwt_key azure_key
    jwt JWT bearer otp otp_code totp mfa_code recovery_codes seed_phrase auth basic_auth http_auth httpAuth
    REDISCLI_AUTH oauth Authorization authorization proxy-authorization Proxy-Authorization auth_header cookie cookies
    Cookie Set-Cookie session_cookie dsn sentry_dsn SENTRY_DSN webhook webhook_url slack_webhook SLACK_WEBHOOK_URL
    discordWebhookUrl csrf netrc oauth2_token OAuth2ClientSecret s3_secret_key S3_SECRET minio_secret_key
    k8s_token 2fa_secret snowflake_password databricks_token SNOWFLAKE_PASS ldap_bind_pw keystore_pass
    spring.datasource.password spark.hadoop.fs.s3a.secret.key fs.azure.account.key api_key_prod api_key_default
    X-Amz-Security-Token X-Amz-Signature redis_password MONGO_INITDB_ROOT_PASSWORD sudo_password unlock_passphrase
    kaggle_key KAGGLE_KEY roboflow_api_key labelbox_key tavily_api_key user_secret consumer_secret consumer_key
    encrypted_password password_plaintext passwordHash login_password encryption.key trainer.logger.api_key
    otp_seed private_key_pem gitlab_pat GITHUB_PAT azureSas SAS sas sasToken connectionString connection_string
    ConnectionStrings ConnectionStrings.Default AZURE_STORAGE_CONNECTION_STRING connstr conn_str dbConnStr
    connection_string_prod ssh_private kerberos_keytab mnemonic tls_pkey
""".split()

INNOCENT = """
    pat patience github_pattern sas_path sas_seed sasrec connection connections fully_connected connectivity_string
    num_connection_strings connection_string_length random_seed
    num_tokens max_tokens min_tokens n_tokens total_tokens avg_tokens tokens_per_second tokensPerSecond
    tokens_per_step
    tokens_per_batch tokens_per_gpu tokens_seen train_tokens token_count tokenCount token_dim token_type
    token_type_ids
    token_ids token_id token_length token_embedding token_embeddings token_dropout token_limit token_budget
    token_accuracy token_loss token_mixing token_level token_pruning_rate tokenizer tokenizer_name tokenizer.path
    tokenizerFast tokenizers_parallelism TOKENIZERS_PARALLELISM tokenize tokenized tokenization detokenize
    pad_token pad_token_id padToken eos_token eosToken eos_token_id bos_token bos_token_id cls_token sep_token
    mask_token
    mask_token_id unk_token special_tokens additional_special_tokens special_tokens_map image_token image_token_id
    image_tokens video_token audio_token stop_token stop_tokens start_token end_token decoder_start_token
    decoder_start_token_id forced_bos_token_id use_cls_token class_token dist_token query_tokens register_tokens
    num_register_tokens memory_tokens num_memory_tokens prefix_tokens soft_tokens prompt_tokens completion_tokens
    input_tokens output_tokens max_new_tokens max_input_tokens min_new_tokens text_tokens vision_tokens
    patch_tokens latent_tokens visual_tokens added_tokens added_tokens_decoder vocab_tokens word_tokens
    loss_per_token nll_per_token flops_per_token time_per_token ms_per_token model.embed_tokens.weight embed_tokens
    cls_token_pos placeholder_token initializer_token suppress_tokens begin_suppress_tokens bad_tokens
    reasoning_tokens
    cached_tokens thinking_tokens masked_tokens num_api_tokens
    key keys Key key_dim key_size key_length key_proj k_proj key_padding_mask key_value_heads query_key_value num_keys
    num_key_value_heads monitor_key metric_key sort_key sortKey cache_key primary_key primaryKey foreign_key
    partition_key
    dict_key state_key state_dict_key input_key target_key label_key image_key text_key feature_key data_key
    public_key
    ssh_public_key publicKey keyframe keyframes keypoint keypoints num_keypoints keyboard keyword keywords hotkey
    hotkeys
    monkey donkey turkey whiskey hockey keys_to_ignore s3_key object_key bucket_key group_key row_key index_key
    jax_prng_key rng_key random_key dropout_key seed_key attention_key memory_key
    author authors Author authored authority co_author secretary secretariat secretion undersecretary
    passes num_passes n_passes pass_rate pass_count pass_through passthrough pass_at_1 pass_k pass_manager
    forward_pass
    backward_pass first_pass second_pass two_pass multi_pass single_pass bypass compass compass_heading overpass
    surpass trespass encompass lowpass highpass bandpass low_pass band_pass passenger passenger_count passive
    password_length
    password_policy password_strength_model password_file passwordless password_required has_password no_password
    credential_free credentials_path credentials_file secret_name secret_count secrets_dir
    cookiecutter cookie_count bearing bearings beareth jwt_algorithm jwt_expiry auth_method auth_type auth_url
    auth_mode
    authenticated auth_enabled webhooks_enabled otp_length otp_enabled pin_memory pin_memory_device pinned
    spinning pwdist accreditation credit credits credit_risk accredited code codebook code_size encoder decoder
    encoder_key_dim signature signature_columns significance sigma sign_loss phrase phrase_length phrases
    hook hooks hook_name webcam session session_id user user_id username account accounts api api_version api_url
    url host port login oath optimizer lr learning_rate weight_decay batch_size seed model model_name dataset
    num_workers gradient_accumulation_steps access access_log accessories private privacy_budget public
    license licence encryption encrypted signing bucket storage shared client service dsnet database authoring
    pass_number passage passages passage_len desk task risk mask masked_lm tokamak stoked
""".split()


def test_the_tables_are_large_and_apart():
    """The promise rests on many names: two tables of at least 200, without a name in both."""
    assert min(len(set(SECRET)), len(set(INNOCENT))) >= 200
    assert not set(SECRET) & set(INNOCENT)


def is_hidden(name):
    flat, deep = {name: "hunter2"}, {"outer": [{name: ["hunter2", {"value": "hunter2"}]}]}
    hidden = {"outer": [{name: [HIDDEN, {"value": HIDDEN}]}]}
    return is_secret_name(name) and redact(flat) == {name: HIDDEN} and redact(deep) == hidden


def is_left_alone(name):
    value = {name: "value", "nested": {name: [3, "value"]}}
    return not is_secret_name(name) and redact(value) == value


def test_text_under_a_secret_name_is_hidden():
    """However its words are joined, a secret name hides the text that it holds, and all that lies below it."""
    assert [name for name in sorted(set(SECRET)) if not is_hidden(name)] == []


def test_the_vocabulary_of_training_is_left_alone():
    """A name that only sounds like a secret keeps text and numbers."""
    assert [name for name in sorted(set(INNOCENT)) if not is_left_alone(name)] == []

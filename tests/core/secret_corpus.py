# ruff: noqa: E501 - an entry is best seen on one line
"""Spellings of secrets that must be hidden, and harmless look-alikes that must stay as they are.

Each entry is the words of a command. The secret in them is HUSH, or one of the TOKENS: none of it may be left.
"""

from __future__ import annotations

from runner.core import redact

HUSH = "HUSHx"
HEX = "3f786850e387550fdab836ed7e6dc881de23001b"
MIXED = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zC"

#: By the name: every kind of name, in the usual spelling.
NAMES = [
    "api_key", "api-key", "apiKey", "APIKEY", "apikey", "x_api_key", "my_api_key_v2", "api_key_b64", "openai_key",
    "openaiApiKey", "OPENAI_API_KEY", "hf_token", "hfToken", "HF_TOKEN", "huggingface_hub_token", "token_hf", "token",
    "access_token", "auth_token", "refresh-token", "github_pat", "personal_access_token", "slack_bot_token", "session_token",
    "password", "Password", "PASSWORD", "db_password", "db.password", "dbPassword", "password_db", "PGPASSWORD", "passwd",
    "pwd", "db_pass", "passphrase", "smtp_password2", "secret", "client_secret", "clientSecret", "secret_key",
    "aws_secret_access_key", "account_key", "master_key", "encryption_key", "signing_key", "private_key", "credentials",
    "creds", "bearer", "wandb_api_key", "wandb.api_key", "wandb_key", "hub.token", "db/token", "webhook_secret",
    "registry_token", "jwt_secret", "passwort", "hftoken", "githubtoken", "authtoken", "secrets", "api_keys",
    "credentials.openai", "secrets.db", "rootPassword", "sas_token", "ci_token", "kaggle_key", "_api_key", "__token",
]  # fmt: skip

#: By the spelling: separators, quotes, nesting, commands within words, lists.
SPELLINGS = [
    ["--api_key=HUSHx"], ["--api_key", "HUSHx"], ["-api_key=HUSHx"], ["api_key=HUSHx"], ["+api_key=HUSHx"],
    ["++db.password=HUSHx"], ["~x", "hf_token=HUSHx"], ["db/token=HUSHx"], ["+db@a.b.token=HUSHx"], ["--token=", "HUSHx"],
    ["--token= HUSHx"], ["--token", " HUSHx"], ["--token", "=", "HUSHx"], ["token", "=", "HUSHx"], ["api_key:", "HUSHx"],
    ["api_key=", "HUSHx"], ["--api_key:HUSHx"], ["--api_key:=HUSHx"], ["api_key==HUSHx"], ["api_key=>HUSHx"],
    ["-Dapi_key=HUSHx"], ["-Dpassword=HUSHx"], ["-eHF_TOKEN=HUSHx"], ["-e", "HF_TOKEN=HUSHx"], ["--env=HF_TOKEN=HUSHx"],
    ["--env", "HF_TOKEN=HUSHx"], ["env", "HF_TOKEN=HUSHx", "python"], ["--build-arg", "NPM_TOKEN=HUSHx"],
    ["--set", "api_key:HUSHx"], ["--set", "api_key=HUSHx"], ["--set", "api_key: HUSHx"], ["--set", "api_key = HUSHx"],
    ["--set", "hub:\n  token: HUSHx"], ["--opts", "LR", "3", "HUB.TOKEN", "HUSHx"], ["HUB.API_KEY", "HUSHx"],
    ["--cfg-options", "a=1", "hub.api_key=HUSHx"], ["--api_keys", "HUSHx", "HUSHx"], ["--api_keys=[HUSHx,HUSHx]"],
    ["--api_keys", "['HUSHx', 'HUSHx']"], ["--api_key=[\"HUSHx\"]"], ["--password={value: HUSHx}"],
    ["--opts={'token': 'HUSHx'}"], ["--opts", "{'token': 'HUSHx'}"], ["--cfg={\"api_key\": \"HUSHx\"}"],
    ["--cfg={\"a\": true, \"hub\": {\"api_key\": \"HUSHx\"}}"], ["--cfg={api_key: HUSHx}"], ["+cfg={lr:1,api_key:HUSHx}"],
    ["+cfg={hub:{api_key:HUSHx},lr:1}"], ["--cfg={'a': {'b': [{'password': 'HUSHx'}]}}"], ["--cfg={'api_key': b'HUSHx'}"],
    ["--cfg={\"secrets\": {\"wandb\": \"HUSHx\"}}"], ["--cfg=dict(api_key='HUSHx')"], ["--cfg=Hub(token=str('HUSHx'))"],
    ["--cfg=Hub(password=SecretStr('HUSHx'))"], ["--cfg=f(api_key=HUSHx,lr=3)"], ["--cfg", "a=1,api_key=HUSHx,b=2"],
    ["--cfg=[{'name': 'HF_TOKEN', 'value': 'HUSHx'}]"], ["--cfg", "[[\"api_key\", \"HUSHx9\"]]"],
    ["--json", "{\"a\": 1, \"client_secret\": \"HUSHx\"}"], ["--json", "{\\\"api_key\\\": \\\"HUSHx\\\"}"],
    ["--xml", "<a><api_key>HUSHx</api_key></a>"], ["--resume_args", "--token HUSHx"], ["--resume_args=--token HUSHx"],
    ["--resume_args", "--hub.token=HUSHx --x 3"], ["--extra", "--lr 3 --wandb_api_key=HUSHx"],
    ["sh", "-c", "TOKEN=HUSHx python t.py"], ["sh", "-c", "'TOKEN=HUSHx' x"], ["sh", "-c", "cd x;TOKEN=HUSHx python t.py"],
    ["sh", "-c", "cd x && HF_TOKEN=HUSHx python t.py"], ["sh", "-c", "(API_KEY=HUSHx python t.py)"],
    ["bash", "-lc", "export HF_TOKEN=\"HUSHx\"; python t.py"], ["bash", "-c", "export HF_TOKEN='HUSHx'&&python t.py"],
    ["bash", "-c", "python t.py --password 'HUSHx' --lr 3"], ["bash", "-c", "python t.py --api_key HUSHx"],
    ["bash", "-c", "python t.py --api_key=$'HUSHx'"], ["bash", "-c", "API_KEY=a\"HUSHx\"b python t.py"],
    ["bash", "-c", "API_KEY=HUSHx\\ HUSHx python t.py"], ["bash", "-c", "sh -c 'API_KEY=HUSHx python t.py'"],
    ["bash", "-c", "sh -c \"python t.py --cfg '{\\\"api_key\\\": \\\"HUSHx\\\"}'\""], ["csh", "-c", "setenv HF_TOKEN HUSHx"],
    ["pwsh", "-c", "$env:HF_TOKEN=\"HUSHx\"; python t.py"], ["cmd", "/c", "set HF_TOKEN=HUSHx"],
    ["--command", "sh -c 'TOKEN=HUSHx python t.py {config}'"], ["--command", "env API_KEY=HUSHx python t.py {config}"],
    ["python", "-c", "api_key = 'HUSHx'"], ["python", "-c", "import t; t.api_key=\"HUSHx\""],
    ["python", "-c", "os.environ['HF_TOKEN'] = 'HUSHx'"], ["python", "-c", "os.environ.setdefault(\"HF_TOKEN\", \"HUSHx\")"],
    ["python", "-c", "login(token='HUSHx')"], ["python", "-c", "api_key = '''HUSHx'''"], ["python", "-c", "f(password=f'HUSHx')"],
    ["x", "token='HUSHx'"], ["--db.password=HUSHx"], ["--model.hub.token=HUSHx"], ["hf_token:HUSHx"],
    ["--url=https://x.org/?api_key=HUSHx&b=1"], ["--url", "https://x.org/?a=1&access_token=HUSHx"],
    ["--url", "https://x.org/cb#access_token=HUSHx"], ["--url", "https://x.org/?q=api_key%3DHUSHx"],
    ["--dsn", "host=db password=HUSHx user=me"], ["--dsn=Server=db;User Id=me;Password=HUSHx;"],
    ["--jdbc", "jdbc:mysql://h/db?user=u&password=HUSHx"], ["--note", "password: HUSHx"], ["--note", "a: 1\npassword: HUSHx\n"],
    ["--pass", "HUSHx9"], ["--pw=HUSHx9"], ["--auth", "user:HUSHx"], ["--auth=user:HUSHx"],
    ["--basic_auth", "me:HUSHx"], ["ａｐｉ_ｋｅｙ=HUSHx"],
]  # fmt: skip

#: Given to programs and services, without a name or with one of their own.
PROGRAMS = [
    ["curl", "-u", "user:HUSHx", "x"], ["curl", "--user", "me:HUSHx", "x"], ["sh", "-c", "curl -u me:HUSHx http://x"],
    ["sh", "-c", "curl --user 'me:HUSHx' http://x"], ["curl", "--proxy-user", "me:HUSHx"], ["sshpass", "-p", "HUSHx", "ssh", "h"],
    ["sh", "-c", "sshpass -pHUSHx ssh h"], ["mysql", "-u", "me", "-pHUSHx"], ["sh", "-c", "mysql -h db -pHUSHx < x.sql"],
    ["redis-cli", "-a", "HUSHx"], ["docker", "login", "-u", "me", "-p", "HUSHx"], ["wandb", "login", "HUSHx"],
    ["sh", "-c", "wandb login HUSHx && python t.py"], ["sh", "-c", "docker login -p HUSHx reg"],
    ["openssl", "-passin", "pass:HUSHx"], ["-H", "Authorization: Bearer HUSHx123"], ["-H", "Authorization: token HUSHx123"],
    ["sh", "-c", "curl -H 'Authorization: Basic HUSHx123'"], ["-H", "authorization:Bearer HUSHx123"],
    ["--header=Authorization: ApiKey HUSHx"], ["-H", "Proxy-Authorization: Basic HUSHx="], ["-H", "X-Api-Key: HUSHx123"],
    ["-H", "PRIVATE-TOKEN: HUSHx123"], ["-H", "Cookie: session=HUSHx123"], ["-H", "api-key: HUSHx123"],
    ["--headers", "{\"Authorization\": \"Bearer HUSHx\"}"], ["--headers={'Authorization': 'HUSHx'}"],
    ["--url=postgres://u:HUSHx@h"], ["https://user:HUSHx@host"], ["git", "clone", "https://u:HUSHx@host/x"],
    ["--redis", "redis://:HUSHx@host:6379/0"], ["--db", "mongodb+srv://u:HUSHx%40x@cluster.net/x"],
    ["--db", "postgres://u:HUSHx@HUSHx@db.org/x"], ["--url", "https://x-access-token:HUSHx@github.com/x"],
    ["--proxy", "me:HUSHx@proxy:8080"], ["--db", "me:HUSHx@tcp(db.host)/name"], ["--db", "me:HUSHx@db.host.org"],
    ["--netrc", "machine api.wandb.ai login user password HUSHx"], ["kubectl", "--from-literal=password=HUSHx"],
]  # fmt: skip

#: Variations on all of these.
VARIATIONS = [
    ["--api_key", "HUSHx", "--lr", "3"], ["python", "t.py", "api_key", "HUSHx"], ["--hparams", "api_key=HUSHx,lr=3"],
    ["--config", "{api_key: HUSHx}"], ["--config", "api_key: HUSHx\nlr: 3"], ["--config", "- api_key: HUSHx"],
    ["--config", "api_key: |\n  HUSHx"], ["--config", "api_key: >-\n  HUSHx"], ["--config", "api_key: !!str HUSHx"],
    ["--config", "api_key: &a HUSHx"], ["--config", "api_key: 'HUSHx'"], ["--config", "[hub]\napi_key = HUSHx\n"],
    ["--config", "<add key=\"api_key\" value=\"HUSHx\"/>"], ["--x", "api_key='HUSHx''y'"],
    ["--password", "hunter HUSHx"], ["--password=hunter HUSHx"], ["--api_key=HUSHx,HUSHx"], ["--password=(HUSHx)"],
    ["--password=<HUSHx"], ["--password=p=HUSHx"], ["--password=p@HUSHx.z"], ["--password=$HUSHx!"],
    ["--password=HUSHx/abc"], ["--password=#HUSHx#"], ["--password=[HUSHx"], ["--secret", "HUSHx"], ["--secret:HUSHx"],
    ["/api_key:HUSHx"], ["/p:api_key=HUSHx"], ["--", "api_key=HUSHx"], ["--flag", "--", "--token=HUSHx"],
    ["bash", "-c", "python - <<E\napi_key='HUSHx'\nE"], ["bash", "-c", "TOKEN=HUSHx&& x"],
    ["bash", "-c", "A=1 TOKEN=HUSHx B=2 x"], ["bash", "-c", "x --token=HUSHx;y"], ["bash", "-c", "x --token HUSHx;y"],
    ["bash", "-c", "x --token \"HUSHx y\" z"], ["bash", "-c", "x --token=\"HUSHx y\" z"],
    ["bash", "-c", "x '--token=HUSHx y' z"], ["bash", "-c", "x --token \\\n HUSHx"],
    ["--x", "{'a': {'token': ['HUSHx']}}"], ["--x", "{\"a\": [{\"b\": {\"password\": \"HUSHx\"}}]}"],
    ["--x", "{a: {password: HUSHx}}"], ["--x", "{passwords: {a: HUSHx}}"], ["--x", "{passwords: [HUSHx, HUSHx]}"],
    ["--x", "passwords=[HUSHx,HUSHx]"], ["--x", "{'passwords': ['HUSHx', 'HUSHx']}"],
    ["--x", "{passwords: {a: {b: HUSHx}}}"], ["+x={passwords:[HUSHx]}"], ["hydra.job.env_set.HF_TOKEN=HUSHx"],
    ["+hydra.job.env_set.HF_TOKEN=HUSHx"], ["token=choice(HUSHx,HUSHx)"], ["token=HUSHx,HUSHx"], ["~token=HUSHx"],
    ["'token=HUSHx'"], ["\"token\"=HUSHx"], ["token='\"HUSHx\"'"], ["+hub@_global_.token=HUSHx"],
    ["model/hub/api_key=HUSHx"], ["++a.b/c.api_key=HUSHx"], ["--o.token", "HUSHx"], ["--o[token]=HUSHx"],
    ["--o['token']=HUSHx"], ["--o[\"api_key\"]", "HUSHx"], ["o.token[0]=HUSHx"],
    ["--trainer.logger.init_args.api_key=HUSHx"], ["--Token=HUSHx"], ["--TOKEN", "HUSHx"], ["-token", "HUSHx"],
    ["-token=HUSHx"], ["-T", "token=HUSHx"], ["--api_key=\"HUSHx\""], ["--api_key='HUSHx'"], ["--api_key=`HUSHx"],
    ["--user", "me", "--password", "HUSHx"], ["--password", "HUSHx"], ["--passwd-file=x", "--passwd=HUSHx"],
    ["--client-secret", "HUSHx"], ["--oauth-token=HUSHx"], ["--session-key=HUSHx9aB3dE5gH7jK9"],
    ["--cookie", "sid=HUSHx9aB3dE5gH7jK9mN"], ["--jwt", "HUSHx9aB3d"], ["--url", "https://u:p%40HUSHx@h/x"],
    ["--url", "https://h/x?sig=HUSHx9&b"], ["--url", "https://h/x?X-Amz-Signature=HUSHx9"],
    ["--url=http://h/api_key=HUSHx"], ["--url", "http://h/?token=HUSHx"],
    ["--url", "http://h/?key=HUSHx9aB3dE5gH7jK9mN1pQ2r"], ["--mail", "smtp://me:HUSHx@h:25"], ["ftp://me:HUSHx@h"],
    ["git+https://HUSHx9aB3dE5gH7jK9mN1pQ2r@github.com/x"], ["--proxy=http://me:HUSHx@h:1"],
    ["-H", "Authorization: Digest username=\"me\", response=\"HUSHx123\""],
    ["-H", "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/x, Signature=HUSHx99"],
    ["-H", "Authorization=Bearer HUSHx"], ["-HAuthorization: Bearer HUSHx"], ["--header", "Authorization: HUSHx"],
    ["--bearer-token", "HUSHx"], ["--oauth2-bearer", "HUSHx"], ["-H", "X-Auth-Token: HUSHx"],
    ["-H", "X-Vault-Token:HUSHx"], ["-H", "apikey: HUSHx"], ["env", "-i", "API_KEY=HUSHx", "x"],
    ["docker", "run", "-eAPI_KEY=HUSHx"], ["--env", "API_KEY", "HUSHx"], ["--set-env-vars=A=1,API_KEY=HUSHx"],
    ["--set", "hub.token", "HUSHx"], ["--export=ALL,API_KEY=HUSHx"], ["srun", "--export=HF_TOKEN=HUSHx", "x"],
    ["--api_key1", "HUSHx"], ["--apikey2=HUSHx"], ["--api__key=HUSHx"], ["--api.key=HUSHx"], ["--API-Key=HUSHx"],
    ["--the_api_key_to_use=HUSHx9aB3dE5g"], ["--apitoken=HUSHx"], ["--user_password_1=HUSHx"], ["--wandb-key=HUSHx"],
    ["--x=wandb_key=HUSHx"], ["--hf-hub-token=HUSHx"], ["--huggingface_token=HUSHx"],
    ["--pushoverToken=HUSHx9aB3dE5gH7jK"], ["--mysql_pwd=HUSHx"], ["MYSQL_PWD=HUSHx", "x"],
    ["--ssh-passphrase", "HUSHx"], ["--vault_pass=HUSHx99"], ["--passcode=HUSHx"], ["--private_token=HUSHx"],
    ["--secretkey=HUSHx"], ["--accessKey=HUSHx"], ["--s3.secret_access_key=HUSHx"], ["--AccountKey=HUSHx=="],
    ["DefaultEndpointsProtocol=https;AccountName=a;AccountKey=HUSHx==;EndpointSuffix=x"],
    ["Endpoint=sb://x/;SharedAccessKeyName=R;SharedAccessKey=HUSHx="], ["--x", "api_key => HUSHx"],
    ["--x", "api_key = HUSHx"], ["--x", "api_key\t=\tHUSHx"], ["--x", "api_key -> HUSHx"],
    ["--x", "the password is HUSHx9"], ["--x", "token=b'HUSHx'"], ["--x", "Namespace(api_key='HUSHx', lr=1)"],
    ["--x", "Config(api_key=HUSHx, lr=1)"], ["--x", "argparse.Namespace(hf_token='HUSHx')"],
    ["--x", "unrecognized arguments: --api_key=HUSHx"], ["--x", "unrecognized arguments: --api_key HUSHx --y"],
    ["--x", "Command '['curl', '-u', 'me:HUSHx', 'x']' returned"],
    ["--x", "Command '['t', '--token', 'HUSHx']' returned"], ["--x", "['t', '--api_key', 'HUSHx']"],
    ["--x", "KeyError: api_key='HUSHx'"], ["--x", "{'api_key': HUSHx}"], ["--x", "\"api_key\":\"HUSHx\",\"b\":1"],
    ["--x", "api_key:'HUSHx'"], ["\u200bapi_key=HUSHx"], ["--api\u200b_key=HUSHx"], ["--Api Key=HUSHx"],
    ["--x", "API Key: HUSHx"], ["--x", "Api-Key: HUSHx"],
]  # fmt: skip

#: By the form of the value alone.
TOKENS = [
    f"hf_{MIXED}", f"sk-{MIXED}", f"sk-proj-{MIXED}", f"sk-ant-api03-{MIXED}-xyz", f"ghp_{MIXED}", f"gho_{MIXED}",
    f"github_pat_{MIXED}", f"glpat-{MIXED}", "AKIAIOSFODNN7EXAMPLE", "xoxb-123456789012-abcdefABCDEF", f"wandb_v1_{MIXED}",
    f"local-{HEX}", f"npm_{MIXED}", "AIzaSyA1234567890abcdefghijklmnopqrstuv", f"sk_live_{MIXED}", f"r8_{MIXED}",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P", f"gsk_{MIXED}{MIXED}", f"pypi-{MIXED}{MIXED}",
    f"ya29.{MIXED}", f"GOCSPX-{MIXED}", f"dckr_pat_{MIXED}", f"dapi{HEX[:32]}", f"xai-{MIXED}{MIXED}", f"pplx-{MIXED}",
    f"nvapi-{MIXED}{MIXED}", f"lsv2_pt_{HEX[:32]}_abcdef0123", f"tvly-{MIXED}", f"sbp_{HEX}", f"key-{HEX[:32]}",
    f"glsa_{MIXED}", f"hvs.{MIXED}", f"rpa_{MIXED.upper()}", f"shpat_{HEX[:32]}", "123456789:AAabcdefghijklmnopqrstuvwxyz0123456",
    "https://hooks.slack.com/services/T0000/B0000/XXXXXXXXXXXXXXXX1", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl",
    MIXED + "+/=",
]  # fmt: skip


def hidden() -> list[tuple[list[str], str]]:
    """Words with a secret, and the secret."""
    found = [([f"--{name}={HUSH}"], HUSH) for name in NAMES]
    found += [(words, HUSH) for words in (*SPELLINGS, *PROGRAMS, *VARIATIONS)]
    return found + [([f"--note={token}"], token) for token in TOKENS]


#: Names and values of ordinary settings.
ORDINARY = [
    ("pad_token", "<pad>"), ("eos_token", "</s>"), ("eos_token", "<|endoftext|>"), ("bos_token", "<s>"), ("unk_token", "[UNK]"),
    ("mask_token", "[MASK]"), ("mask_token", "[M]"), ("cls_token", "[CLS]"), ("sep_token", "[SEP]"), ("image_token", "<image>"),
    ("stop_token", "\\n"), ("newline_token", "Ċ"), ("pad_token", "!"), ("eos_token", "endoftext"), ("model.eos_token", "eos"),
    ("pad_token", "<|reserved_special_token_0|>"), ("token", "<eos>"), ("decoder_start_token", "<s>"), ("user_token", "<|user|>"),
    ("sort_key", "loss"), ("sort_key", "val/loss"), ("key_dim", "64"), ("key", "accuracy"), ("key", "text"), ("key", "0"),
    ("image_key", "jpg"), ("image_key", "observation.images.top_2024"), ("monitor_key", "val_loss"), ("metric_key", "eval/f1"),
    ("primary_key", "user_id"), ("foreign_key", "batch_id"), ("group_key", "speaker"), ("label_key", "fine_label"),
    ("dict_keys", "a,b"), ("key_size", "256"), ("key_prefix", "model.layers"), ("keyframes", "1,2,3"), ("keys", "rgb,depth"),
    ("s3_key", "data/train.bin"), ("cache_key", "v2"), ("partition_key", "day"), ("key_signature", "4/4"), ("key_bits", "4"),
    ("num_key_value_heads", "8"), ("keyboard", "us"), ("monkey", "abc"), ("turkey", "roast"), ("key_padding_mask", "true"),
    ("linear_key", "q_proj"), ("scale_key", "0.125"), ("segment_key", "left"), ("storage_key", "images"), ("client_key", "name"),
    ("tokenizer", "gpt2"), ("tokenizer_name", "meta-llama/Llama-3.1-8B-Instruct"), ("tokenizer_path", "/data/tok.json"),
    ("token_dropout", "0.1"), ("token_type", "bpe"), ("max_new_tokens", "256"), ("max_tokens", "1000000000"), ("tokens", "1B"),
    ("special_tokens", "<a>,<b>"), ("tokens_per_batch", "524288"), ("n_tokens", "300B"), ("token_level", "word"),
    ("token_embedding", "learned"), ("token_mixer", "conv3x3"), ("tokens_seen", "123456789"), ("detokenize", "true"),
    ("token_path", "~/.cache/huggingface/token"), ("token_file", "tok.txt"), ("token_ids", "[1, 2, 3]"), ("first_token", "BOS"),
    ("password_field", "pw"), ("password_length", "12"), ("secret_name", "prod/wandb"), ("secret_santa", "bob"),
    ("api_key_env", "WANDB_API_KEY"), ("api_key", "WANDB_API_KEY"), ("api_key", "${WANDB_API_KEY}"), ("hf_token", "$HF_TOKEN"),
    ("hf_token", "<your token>"), ("hf_token", "YOUR_TOKEN"), ("hf_token", ""), ("use_auth_token", "true"), ("api_key", "none"),
    ("api_key", "null"), ("api_key", "${oc.env:KEY}"), ("token", "{{ token }}"), ("credentials", "/home/me/gcp.json"),
    ("private_key", "~/.ssh/id_rsa"), ("ssh_key", "keys/server.pem"), ("credentials.region", "eu-west-1"), ("auth", "basic"),
    ("authorization", "oauth2"), ("auth_type", "oauth"), ("author", "Ada"), ("authors", "Ada,Alan"), ("authority", "local"),
    ("first_pass", "greedy"), ("forward_pass", "eager"), ("pass", "1"), ("passes", "3"), ("passthrough", "true"),
    ("compass", "north"), ("bypass", "none"), ("pass_rate", "0.9"), ("pw", "16"), ("pwise", "true"), ("session", "morning"),
    ("session_id", MIXED), ("sig", "sigmoid"), ("sigma", "0.5"), ("signature", "serving_default"), ("salt", "3"), ("pat", "a*b"),
    ("patience", "5"), ("patch", "16"), ("license", "mit"), ("cookie", "chocolate"), ("webhook", "none"), ("wandb", "online"),
    ("commit", HEX), ("git_commit", HEX), ("revision", HEX), ("x", HEX), ("sha256", HEX + HEX[:24]), ("checksum", HEX),
    ("weights", f"sha256:{HEX}"), ("run_id", "3n8k2v9q"), ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
    ("x", "123e4567-e89b-12d3-a456-426614174000"), ("seed", "98765432109876"), ("salt_and_pepper", "0.1"),
    ("path", "/data/run_2024/Llama-3.1-8B/checkpoint-1000/model.safetensors"), ("block", "layer3block2conv1norm2"),
    ("model", "DeepSeek-R1-Distill-Qwen-32B-Q4-K-M-v2"), ("model", "meta-llama/Meta-Llama-3.1-405B-Instruct-FP8"),
    ("repo", "hf_internal_testing/tiny_random_model"), ("name", "sk-learn-pipeline-2024-run-3-with-more-words"),
    ("lr", "0.001"), ("lr", "1e-4"), ("prompt", "Give me the password: now, please"), ("dtype", "bfloat16"),
    ("prompt", "What is a token? A key to language models."), ("prompt", "password reset: click here"),
    ("prompt", "The secret of the key=value store is its simplicity"), ("system", "You are a bearer of good news"),
    ("system", "the api_key: see the wiki"), ("prompt", "Authorization is required. Sign in: yes or no?"),
    ("url", "https://huggingface.co/datasets/x"), ("url", "ssh://git@github.com/x/y.git"), ("url", "git@github.com:x/y.git"),
    ("url", "http://localhost:8080/a@b"), ("proxy", "http://proxy:8080"), ("url", "https://user:${PASSWORD}@host"),
    ("image", "pytorch/pytorch:2.1@sha256:" + HEX), ("image", "docker.io/library/python:3.11-slim"), ("mail", "me@host.org"),
    ("time", "2024-01-01T00:00:00+00:00"), ("glob", "data/***/x"), ("stars", "*** x"), ("pattern", "(?P<key>[a-z]+)=(?P<value>.+)"),
    ("letters", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), ("ranges", "0:10,20:30"),
    ("betas", "[0.9, 0.999]"), ("optim", "{'lr': 0.1, 'key': 'loss'}"), ("vocab", "{\"pad_token\": \"<pad>\", \"max_tokens\": 5}"),
    ("columns", "['user', 'password']"), ("fields", "[\"api_key\", \"name\"]"), ("filter", "key=accuracy,mode=max"),
]  # fmt: skip

#: Words of ordinary commands.
COMMANDS = [
    ["python", "-u", "train.py"], ["docker", "run", "-u", "1000:1000"], ["sh", "-c", "HF_TOKEN=$HF_TOKEN python t.py"],
    ["sh", "-c", "HF_TOKEN=$(cat ~/.token) python t.py"], ["--token", "--lr"], ["--hf_token", "$HF_TOKEN"], [HEX],
    ["--prompt", "a *** b: the key is here"], ["--stop_token", "[\"</s>\"]"], ["--data", "/data/key/token/x.bin"],
    ["--image_keys=['rgb', 'depth']"], ["key=value"], ["-p", "8080"], ["docker", "run", "-p", "8080:80"], ["mysql", "-p"],
    ["python", "-c", "api_key = os.environ['API_KEY']"], ["python", "-c", "f(token=token, key=key)"], ["--columns", "api_key"],
    ["bash", "-c", "python t.py --sort_key loss --max_tokens 5"], ["-c", "x.py"], ["--wandb", "online"], ["wandb", "agent", "a/b/c"],
    ["--api_key", ""], ["grep", "-e", "password"], ["--secrets", "/run/secrets/a"], ["torchrun", "--rdzv_id", "job:1"],
    ["--user", "me"], ["--login", "me"], ["--ignore", "password,token"], ["ssh", "me@host", "python t.py"],
]  # fmt: skip


def harmless() -> list[list[str]]:
    """Words without a secret."""
    return [[f"--{name}={value}"] for name, value in ORDINARY] + COMMANDS


def rates() -> tuple[int, int]:
    """How many of the secrets are hidden, and how many of the look-alikes stay and could be resumed."""
    kept = [words for words in harmless() if redact.argv(words) == words and not redact.unrecorded(words)]
    return sum(secret not in " ".join(redact.argv(words)) for words, secret in hidden()), len(kept)


if __name__ == "__main__":  # python -m tests.core.secret_corpus
    found, kept = rates()
    print(f"hidden {found} of {len(hidden())}, harmless {kept} of {len(harmless())}")

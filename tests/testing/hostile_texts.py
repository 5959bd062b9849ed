"""Texts that try to run scripts, load resources, break out of their place in a page or break its layout."""

HOSTILE_TEXTS = {
    "script": "<script>window.injected=1</script>",
    "image": '"><img src=x onerror=window.injected=1>',
    "svg": "'><svg onload=window.injected=1>",
    "event handler": '" autofocus onfocus=window.injected=1 onmouseover=window.injected=1 x="',
    "script URL": "<a href='javascript:window.injected=1'>javascript:window.injected=1//</a>",
    "frame": "<iframe srcdoc='<script>parent.injected=1</script>'></iframe>",
    "end of style": "</style><script>window.injected=1</script>",
    "end of other elements": "</title></pre></text></svg></details><script>window.injected=1</script>",
    "comment": "<!-- --!> ]]> <![CDATA[",
    "remote": "<base href=http://a.example><link rel=stylesheet href=http://a.example/x.css><img src=http://a.example/x>",
    "redirect": '<meta http-equiv="refresh" content="0;url=http://a.example/">',
    "form": "<form action=http://a.example/><button autofocus>go</button></form>",
    "template": "{{7*7}} ${7*7} {% raise %} {# comment #} #{7*7} &lt;b&gt; &#60;",
    "line separators": "one\u2028two\u2029three\x85four",
    "control characters": "nul\x00 escape\x1b[31m bell\x07",
    "lone surrogates": "high\ud800 low\udfff",
    "direction": "\u202eright to left \u2067isolate \u200f mark",
    "long word": "w" * 5000,
    "many marks": "Z" + "\u0334\u0350\u0323" * 200,
}
"""{kind: text}."""

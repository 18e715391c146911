"""Verifies webhooks with the package of Standard Webhooks.

Reads a JSON document: {"secret": "whsec_...", "deliveries": [{"headers": {...}, "body": "..."}]}.
Prints the id and the type of each; fails where a signature is wrong, or where a changed body is
taken as well.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

document = json.load(sys.stdin)
webhook = Webhook(document["secret"])
for delivery in document["deliveries"]:
    headers, body = delivery["headers"], delivery["body"]
    event = webhook.verify(body, headers)
    assert event["specversion"] == "1.0" and event["id"] == headers["webhook-id"], event
    print(event["id"], event["type"])
    try:
        webhook.verify(body.replace("credits", "Credits"), headers)
    except WebhookVerificationError:
        continue
    sys.exit("a changed body was taken")

"""A publisher in Python, through the exchange, with an id: what the service likes best.

    AMQP_URL=... python3 track_view.py <post uuid> <user id> <event id>
"""

import json
import os
import sys
import time

import pika

post, user, event_id = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()
channel.basic_publish(
    exchange="post.events",
    routing_key="post.viewed",
    body=json.dumps({"post_uuid": post, "user_id": int(user), "ip": "203.0.113.9"}),
    properties=pika.BasicProperties(
        message_id=event_id,
        content_type="application/json",
        delivery_mode=2,
        type="post.viewed",
        timestamp=int(time.time()),
        app_id="blog",
    ),
    mandatory=True,
)
connection.close()

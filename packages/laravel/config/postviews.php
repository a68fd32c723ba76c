<?php

declare(strict_types=1);

return [

    /*
    |--------------------------------------------------------------------------
    | Driver
    |--------------------------------------------------------------------------
    |
    | Where tracked views go: "amqp" publishes them to RabbitMQ, "relay" gives
    | them to postviews-relay on this machine, "log" writes a line for each
    | (without address and user agent), "null" discards them. While your tests run
    | "amqp" and "relay" are "null", unless POSTVIEWS_IN_TESTS is true.
    |
    */

    'driver' => env('POSTVIEWS_DRIVER', 'amqp'),
    'in_tests' => (bool) env('POSTVIEWS_IN_TESTS', false),

    /*
    |--------------------------------------------------------------------------
    | RabbitMQ
    |--------------------------------------------------------------------------
    |
    | amqp://user:password@host:5672/vhost, or amqps://. For a cluster, name the
    | URL of each node, separated by commas. The timeouts limit how long a page's
    | worker can wait for a broker that is away; all of them are seconds.
    |
    */

    'amqp' => [
        'url' => env('POSTVIEWS_AMQP_URL', env('ANALYTICS_AMQP_URL')),
        // For connecting to one host.
        'connect_seconds' => 0.5,
        // For the broker's confirm.
        'confirm_seconds' => 1.0,
        // After this time no further host is tried.
        'flush_seconds' => 3.0,
        // The pause after a failure, for all processes of this machine; then one of them tries.
        'rest_seconds' => 5,
        // The folder of the file that shares the pause; null: each process finds out by itself.
        'rest_path' => storage_path('framework'),
        // Options of the TLS context for amqps: cafile, local_cert, local_pk, verify_peer, …
        'tls' => [],
    ],

    /*
    |--------------------------------------------------------------------------
    | Relay
    |--------------------------------------------------------------------------
    |
    | For the driver "relay": the unix socket of postviews-relay (RELAY_SOCKET),
    | to which the user of PHP may write. While the relay is away, views go to
    | RabbitMQ itself, if a URL is set above and "fallback" is not null. The timeouts
    | limit how long a page's worker can wait; all of them are seconds.
    |
    */

    'relay' => [
        'socket' => env('POSTVIEWS_RELAY_SOCKET', '/run/postviews.sock'),
        // "amqp", or null: then the queue below gets what the relay does not take.
        'fallback' => 'amqp',
        // For the answers to a hundred views.
        'answer_seconds' => 0.5,
        // For everything that a page or a command sends at a time.
        'flush_seconds' => 2.0,
        // The pause when it has not answered, for all processes of this machine; then one of them tries.
        'rest_seconds' => 5,
        // The folder of the file that shares the pause; null: each process finds out by itself.
        'rest_path' => storage_path('framework'),
    ],

    /*
    |--------------------------------------------------------------------------
    | Queue
    |--------------------------------------------------------------------------
    |
    | A page that ends while RabbitMQ is away (and the relay too, if there is one)
    | drops its views and logs how many, unless you name a connection of
    | config/queue.php here ("database", say): then a job takes them, which
    | queue:work tries until the broker has them.
    |
    */

    'queue' => [
        'connection' => env('POSTVIEWS_QUEUE_CONNECTION'),
        'queue' => env('POSTVIEWS_QUEUE'),
    ],

    /*
    |--------------------------------------------------------------------------
    | Log
    |--------------------------------------------------------------------------
    |
    | The channel of config/logging.php that gets messages about wrong views, and
    | about a broker or a relay that is away. null: your default channel.
    |
    */

    'log_channel' => env('POSTVIEWS_LOG_CHANNEL'),

    /*
    |--------------------------------------------------------------------------
    | Internal API
    |--------------------------------------------------------------------------
    |
    | Where your views are read from, and one of its keys (INTERNAL_API_KEY).
    |
    */

    'api' => [
        'url' => env('POSTVIEWS_API_URL'),
        'key' => env('POSTVIEWS_API_KEY'),
        // For connecting, and for a whole answer.
        'connect_seconds' => 0.5,
        'timeout_seconds' => 2.0,
        // The pause after a failure, for all processes; then one of them asks.
        'rest_seconds' => 5,
        // While your tests run, nothing is read and no count is known, unless a test fakes counts or this is true.
        'in_tests' => (bool) env('POSTVIEWS_API_IN_TESTS', false),
    ],

    /*
    |--------------------------------------------------------------------------
    | Cache
    |--------------------------------------------------------------------------
    |
    | Counts are kept in this store of config/cache.php (null: your default one),
    | and not asked for again for "fresh_seconds". While the API cannot be asked,
    | they are used, as stale ones, for "stale_seconds"; then they are unknown.
    |
    */

    'cache' => [
        'store' => env('POSTVIEWS_CACHE_STORE'),
        'fresh_seconds' => 10,
        'stale_seconds' => 86_400,
    ],

    /*
    |--------------------------------------------------------------------------
    | Models
    |--------------------------------------------------------------------------
    |
    | For PostView and PostViewAggregate, which read the tables of postviews: the
    | connection of config/database.php (null: your default one) and their names.
    |
    */

    'models' => [
        'connection' => env('POSTVIEWS_DB_CONNECTION'),
        'post_views' => 'post_views',
        'post_view_aggregates' => 'post_view_aggregates',
    ],

];

<?php

// A long-lived worker that handles one request after the other as Octane does (Worker, ApplicationGateway, CurrentApplication and
// its listeners in laravel/octane's sources): it boots the application once, and handles each request in a clone of it.
//
//     php worker-loop.php 127.0.0.1:8000

namespace Laravel\Octane\Events {
    use Illuminate\Foundation\Application;
    use Illuminate\Http\Request;
    use Symfony\Component\HttpFoundation\Response;

    // Octane is not installed here; packages listen to these events by name.
    final class WorkerStarting
    {
        public function __construct(public Application $app)
        {
        }
    }

    final class RequestReceived
    {
        public function __construct(public Application $app, public Application $sandbox, public Request $request)
        {
        }
    }

    final class RequestTerminated
    {
        public function __construct(
            public Application $app,
            public Application $sandbox,
            public Request $request,
            public Response $response,
        ) {
        }
    }

    final class WorkerStopping
    {
        public function __construct(public Application $app)
        {
        }
    }
}

namespace {
    use Illuminate\Container\Container;
    use Illuminate\Contracts\Http\Kernel;
    use Illuminate\Foundation\Application;
    use Illuminate\Foundation\Bootstrap\RegisterProviders;
    use Illuminate\Foundation\Bootstrap\SetRequestForConsole;
    use Illuminate\Http\Request;
    use Illuminate\Support\Facades\Facade;
    use Laravel\Octane\Events\RequestReceived;
    use Laravel\Octane\Events\RequestTerminated;
    use Laravel\Octane\Events\WorkerStarting;
    use Laravel\Octane\Events\WorkerStopping;
    use Symfony\Component\HttpFoundation\Response;

    const WARMED = [
        'auth', 'cache', 'cache.store', 'config', 'cookie', 'db', 'db.factory', 'db.transactions', 'encrypter', 'files', 'hash', 'log',
        'router', 'routes', 'session', 'session.store', 'translator', 'url', 'view',
    ];

    /** As CurrentApplication::set. */
    function setCurrent(Application $app): void
    {
        $app->instance('app', $app);
        $app->instance(Container::class, $app);
        Container::setInstance($app);
        Facade::clearResolvedInstances();
        Facade::setFacadeApplication($app);
    }

    /** As ApplicationFactory: bootstrapped as for the HTTP kernel, and warmed. */
    function bootedApplication(): Application
    {
        $app = require __DIR__.'/bootstrap/app.php';
        $bootstrappers = (new ReflectionObject($kernel = $app->make(Kernel::class)))->getMethod('bootstrappers')->invoke($kernel);
        array_splice($bootstrappers, array_search(RegisterProviders::class, $bootstrappers, true), 0, [SetRequestForConsole::class]);
        $app->bootstrapWith($bootstrappers);
        $app->loadDeferredProviders();
        foreach (WARMED as $service) {
            $app->bound($service) && $app->make($service);
        }
        return $app;
    }

    /** Those of Octane's listeners to RequestReceived that matter to a tracked view: user, request and application. */
    function prepareForRequest(Application $sandbox, Request $request): void
    {
        $sandbox->instance('config', clone $sandbox['config']);
        $sandbox->instance('request', $request);
        $sandbox->make(Kernel::class)->setApplication($sandbox);
        $sandbox->make('router')->setContainer($sandbox);
        $sandbox->make('auth')->setApplication($sandbox)->forgetGuards();
        $sandbox->make('queue')->setApplication($sandbox);
        $sandbox->make('db')->setApplication($sandbox);
        $sandbox->make('view')->setContainer($sandbox);
        $sandbox->make('view')->share('app', $sandbox);
        $sandbox->make('log')->withoutContext();
    }

    /** As Worker::handle with its ApplicationGateway. */
    function handle(Application $app, Request $request, Closure $respond): void
    {
        setCurrent($sandbox = clone $app);
        try {
            $request->enableHttpMethodParameterOverride();
            prepareForRequest($sandbox, $request);
            $sandbox['events']->dispatch(new RequestReceived($app, $sandbox, $request));
            $response = $sandbox->make(Kernel::class)->handle($request);
            $respond($response);
            $sandbox->make(Kernel::class)->terminate($request, $response);
            $sandbox['events']->dispatch(new RequestTerminated($app, $sandbox, $request, $response));
            $request->route()?->flushController();
        } finally {
            $sandbox->flush();
            $app->make('view.engine.resolver')->forget('blade');
            $app->make('view.engine.resolver')->forget('php');
            unset($sandbox, $request, $response);
            setCurrent($app);
        }
    }

    /** Enough of HTTP for a client that sends one request and closes. Null when the connection has sent nothing. */
    function readRequest(mixed $connection): ?Request
    {
        $line = explode(' ', trim((string) fgets($connection)));
        if (count($line) < 2) {
            return null;
        }
        $server = ['REMOTE_ADDR' => '127.0.0.1'];
        while (($header = trim((string) fgets($connection))) !== '') {
            [$name, $value] = explode(':', $header, 2);
            $server['HTTP_'.strtoupper(strtr($name, '-', '_'))] = trim($value);
        }
        return Request::create($line[1], $line[0], server: $server);
    }

    function send(mixed $connection, Response $response, bool $hasBody): void
    {
        $body = $response->getContent();
        $response->headers->set('Connection', 'close');
        $response->headers->set('Content-Length', (string) strlen($body));
        fwrite($connection, "HTTP/1.1 {$response->getStatusCode()} -\r\n{$response->headers}\r\n".($hasBody ? $body : ''));
        fclose($connection);
    }

    require __DIR__.'/vendor/autoload.php';

    $isStopped = false;
    pcntl_async_signals(true);
    pcntl_signal(SIGTERM, function () use (&$isStopped): void {
        $isStopped = true;
    });

    $app = bootedApplication();
    $app['events']->dispatch(new WorkerStarting($app));
    $listener = stream_socket_server('tcp://'.$argv[1]);
    while (!$isStopped) {
        $connection = @stream_socket_accept($listener, 0.2);
        $request = $connection === false ? null : readRequest($connection);
        if ($request !== null) {
            handle($app, $request, fn (Response $response) => send($connection, $response, !$request->isMethod('HEAD')));
        }
    }
    $app['events']->dispatch(new WorkerStopping($app));
}

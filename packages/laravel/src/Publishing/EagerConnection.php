<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Wire\AMQPReader;
use SensitiveParameter;

/**
 * A connection that sends its whole part of the handshake at once, and reads the broker's answers afterwards.
 *
 * AMQP's handshake has three requests, each with an answer to wait for. A channel with confirms needs two more, and closing both
 * another two. None of the answers changes what this publisher sends next: its limits (one small frame, few channels, no
 * heartbeat) are so low that every broker accepts them. So a page's view takes one round trip for TCP and one for everything
 * else. RabbitMQ handles its input frame by frame (`rabbit_reader`), so it sees no difference. A refusal (password, virtual host,
 * a limit) arrives in place of the expected answer.
 *
 * @internal
 */
final class EagerConnection extends AMQPStreamConnection
{
    private const CHANNELS = 16;
    /** The lowest value that RabbitMQ 4 accepts. */
    private const FRAME_BYTES = 8192;

    /** More than a page sends; larger output is sent in parts. */
    private const PART_BYTES = 65536;
    private const LEAVE_SECONDS = 0.01;

    /** Until `awaitOpen`, output is buffered, and no answer is awaited. */
    private bool $isSpeaking = true;
    private string $unsent = '';

    /** @param array<string, mixed> $tls options of the stream context, for amqps */
    public function __construct(
        #[SensitiveParameter]
        Broker $broker,
        float $connectSeconds,
        float $answerSeconds,
        private readonly string $name,
        array $tls = [],
    ) {
        $this->frame_max = self::FRAME_BYTES;
        $context = $broker->isSecure ? ['ssl' => $tls + ['verify_peer' => true, 'peer_name' => $broker->host]] : [];
        parent::__construct(
            host: $broker->host,
            port: $broker->port,
            user: $broker->user,
            password: $broker->password,
            vhost: $broker->vhost,
            connection_timeout: $connectSeconds,
            read_write_timeout: $answerSeconds,
            context: stream_context_create($context),
            channel_rpc_timeout: $answerSeconds,
        );
        // The library's close waits for the broker's answer. `leave` closes instead, and waits only a moment.
        $this->set_close_on_destruct(false);
        // These fields hold the password. The library needs them only to clone a connection, and this one is never cloned.
        $this->construct_params = [];
        $this->login_response = null;
    }

    /**
     * Sends the buffered output, and reads the answers to the handshake. Frames for channels that arrive meanwhile are kept for
     * them. Call it once.
     */
    public function awaitOpen(float $seconds): void
    {
        $this->isSpeaking = false;
        $this->write($this->unsent);
        $this->unsent = '';
        foreach (['connection.start', 'connection.tune', 'connection.open_ok'] as $answer) {
            $this->wait([$this->waitHelper->get_wait($answer)], false, $seconds);
        }
    }

    public function write($data)
    {
        if (!$this->isSpeaking) {
            parent::write($data);

            return;
        }
        $this->unsent .= $data;
        if (strlen($this->unsent) >= self::PART_BYTES) {
            parent::write($this->unsent);
            $this->unsent = '';
        }
    }

    public function wait($allowed_methods = null, $non_blocking = false, $timeout = 0)
    {
        if (!$this->isSpeaking) {
            return parent::wait($allowed_methods, $non_blocking, $timeout);
        }
        if ($this->wait_tune_ok) {
            $this->x_tune_ok(self::CHANNELS, self::FRAME_BYTES, 0);
        }

        return null;
    }

    /**
     * Closes in order. The broker gets a moment to close its side; otherwise it logs a warning about a lost client. A distant
     * broker reads the close before the end of the connection, so its answer is not needed.
     */
    public function leave(): void
    {
        if ($this->isConnected() && !$this->isSpeaking) {
            [$class, $method, $arguments] = $this->protocolWriter->connectionClose(0, '', 0, 0);
            $this->send_method_frame([$class, $method], $arguments);
            try {
                $this->wait([$this->waitHelper->get_wait('connection.close_ok')], false, self::LEAVE_SECONDS);
            } catch (AMQPTimeoutException) {
                // The broker took too long.
            }
        }
        $this->drop();
    }

    /** Drops the connection without closing in order: the broker might never answer. */
    public function drop(): void
    {
        $this->setIsConnected(false);
        $this->close_input();
        $this->close_socket();
        // The library's connections refer to themselves: PHP would keep them until its next garbage collection.
        $this->channels = [];
        $this->connection = null;
    }

    /** The name under which the broker's management pages list the connection. */
    public function getLibraryProperties(): array
    {
        return parent::getLibraryProperties() + ['connection_name' => ['S', $this->name]];
    }

    /** Ignores the broker's limits: ours, which are lower, have been sent already. */
    // phpcs:ignore PSR1.Methods.CamelCapsMethodName -- the library calls it by this name
    protected function connection_tune($args)
    {
    }

    /** @return array<string, mixed> */
    public function __debugInfo(): array
    {
        return ['name' => $this->name];
    }
}

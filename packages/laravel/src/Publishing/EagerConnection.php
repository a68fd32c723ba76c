<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Wire\AMQPReader;
use SensitiveParameter;

/**
 * A connection that says all it has to say at once, and reads the broker's answers afterwards.
 *
 * AMQP's handshake is three questions, each of which waits for its answer; a channel with confirms takes two more, and
 * closing both another two. None of the answers changes what this publisher says next: it asks for so little of each
 * limit (one small frame, few channels, no heartbeat) that every broker grants it. So a page's view takes one round
 * trip for TCP and one for everything else. RabbitMQ handles what it reads frame by frame (`rabbit_reader`), so it
 * does not see a difference; a refusal (password, virtual host, a limit) is read in the place of the answer that did
 * not come.
 *
 * @internal
 */
final class EagerConnection extends AMQPStreamConnection
{
    private const CHANNELS = 16;
    /** The least that RabbitMQ 4 lets a client ask for. */
    private const FRAME_BYTES = 8192;

    /** More than a page has to say; beyond that it is sent in parts. */
    private const PART_BYTES = 65536;
    private const LEAVE_SECONDS = 0.01;

    /** Until `awaitOpen`: what is written is gathered, and no answer is awaited. */
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
        // The library's close waits for the broker's answer. We say goodbye with `leave`, which waits a moment at most.
        $this->set_close_on_destruct(false);
        // They hold the password, for a clone that nobody makes.
        $this->construct_params = [];
        $this->login_response = null;
    }

    /**
     * Sends what was said so far, and reads the answers to the handshake; what arrives for channels meanwhile waits for
     * them. Once.
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
     * Says goodbye. The broker is given a moment to close its side, else it logs a warning of a client that was gone;
     * a broker that is far away has had it when the end of the line gets there, and its answer is not awaited.
     */
    public function leave(): void
    {
        if ($this->isConnected() && !$this->isSpeaking) {
            [$class, $method, $arguments] = $this->protocolWriter->connectionClose(0, '', 0, 0);
            $this->send_method_frame([$class, $method], $arguments);
            try {
                $this->wait([$this->waitHelper->get_wait('connection.close_ok')], false, self::LEAVE_SECONDS);
            } catch (AMQPTimeoutException) {
                // That was the moment.
            }
        }
        $this->drop();
    }

    /** Lets go of it without a word: it might never answer. */
    public function drop(): void
    {
        $this->setIsConnected(false);
        $this->close_input();
        $this->close_socket();
        // The library's connections refer to themselves: PHP would keep them until its next collection of cycles.
        $this->channels = [];
        $this->connection = null;
    }

    /** The name by which the broker's own pages list it. */
    public function getLibraryProperties(): array
    {
        return parent::getLibraryProperties() + ['connection_name' => ['S', $this->name]];
    }

    /** The broker's limits; ours, which are smaller, have been said already. */
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

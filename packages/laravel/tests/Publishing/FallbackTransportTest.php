<?php

declare(strict_types=1);

namespace Postviews\Tests\Publishing;

use PHPUnit\Framework\TestCase;
use Postviews\Publishing\EarlyTransport;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\FallbackTransport;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\View;
use Postviews\Tests\MemoryTransport;

final class FallbackTransportTest extends TestCase
{
    private MemoryTransport $first;
    private MemoryTransport $second;
    private FallbackTransport $transport;

    protected function setUp(): void
    {
        $this->first = new MemoryTransport();
        $this->second = new MemoryTransport();
        $this->transport = new FallbackTransport($this->first, $this->second);
    }

    public function test_what_the_first_takes_goes_no_other_way(): void
    {
        $this->transport->publish($this->views(3));
        self::assertSame([3, 0], [count($this->first->taken), $this->second->tried]);
    }

    public function test_only_what_the_first_does_not_take_goes_the_other_way_as_it_is(): void
    {
        $this->first->isAway = true;
        $this->first->takesFirst = 2;
        $views = $this->views(5);
        $this->transport->publish($views);
        self::assertSame($views, [...$this->first->taken, ...$this->second->taken]);
        self::assertCount(3, $this->second->taken);
        // The first transport is tried again with the next views.
        $this->first->isAway = false;
        $this->transport->publish($this->views(1));
        self::assertSame([3, 1], [count($this->first->taken), $this->second->tried]);
    }

    public function test_what_neither_takes_is_left_and_may_have_arrived_by_either(): void
    {
        $this->first->isAway = $this->second->isAway = true;
        $this->first->takesFirst = $this->second->takesFirst = 1;
        foreach ([[true, false], [false, true], [false, false]] as [$byFirst, $bySecond]) {
            [$this->first->mayHaveArrived, $this->second->mayHaveArrived] = [$byFirst, $bySecond];
            $this->second->isTold = $bySecond;
            $views = $this->views(3);
            try {
                $this->transport->publish($views);
                self::fail('it did not fail');
            } catch (PublishFailed $error) {
                self::assertSame([$views[2]], $error->views);
                self::assertSame([$byFirst || $bySecond, $bySecond], [$error->mayHaveArrived, $error->isTold]);
            }
        }
    }

    public function test_a_view_begins_on_the_first_way_if_that_begins_early(): void
    {
        $early = new class () implements EarlyTransport {
            /** @var list<EncodedView> */
            public array $begun = [];

            public function begin(EncodedView $view): void
            {
                $this->begun[] = $view;
            }

            public function publish(array $views): void
            {
            }
        };
        [$view] = $this->views(1);
        $this->transport->begin($view);
        (new FallbackTransport($early, $early))->begin($view);
        self::assertSame([[$view], 0], [$early->begun, $this->first->tried]);
    }

    /** @return list<EncodedView> */
    private function views(int $count): array
    {
        return array_map(static fn (int $post): EncodedView => View::encode(['post_id' => $post]), range(1, $count));
    }
}

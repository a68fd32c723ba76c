<?php

namespace App\Providers;

use Illuminate\Auth\GenericUser;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\ServiceProvider;

/** The header X-User names the reader, in place of a login: `7`, or a UUID. */
class LoginServiceProvider extends ServiceProvider
{
    public function register(): void
    {
        config(['auth.guards.header' => ['driver' => 'header'], 'auth.defaults.guard' => 'header']);
    }

    public function boot(): void
    {
        Auth::viaRequest('header', function (Request $request): ?GenericUser {
            $id = $request->header('X-User');

            return $id === null ? null : new GenericUser(['id' => ctype_digit($id) ? (int) $id : $id]);
        });
    }
}

<?php

namespace Database\Seeders;

use App\Models\Post;
use App\Models\User;
use Illuminate\Database\Seeder;

class DatabaseSeeder extends Seeder
{
    public function run(): void
    {
        User::create(['name' => 'Ada']);
        Post::create(['slug' => 'hello-world', 'title' => 'Hello, world', 'user_id' => 1]);
        Post::create(['slug' => 'second', 'title' => 'Second', 'uuid' => '0f8fad5b-d9cb-469f-a165-70867728950e', 'user_id' => 1]);
        Post::create(['slug' => 'third', 'title' => 'Third']);
    }
}
